//! nl80211: Wi-Fi that connects, disconnects or roams to another access point.
//! `include/uapi/linux/nl80211.h`, <https://docs.kernel.org/networking/netlink_spec/nl80211.html>

use super::links::Names;
use super::{AT_ONCE, Next, Out, Source};
use crate::kernel::netlink::{Message, Netlink, attribute, take_attribute, take_message, u16_at, u32_at};
use crate::kernel::nl80211::{self, CONTROL, HEAD};
use crate::model::{Severity, kinds};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

const CONNECT: u8 = 46;
const ROAM: u8 = 47;
const DISCONNECT: u8 = 48;

struct Wifi {
    socket: Netlink,
    /// The family's number; 0 until the kernel has Wi-Fi.
    family: u16,
    names: Names,
}

/// Asks for the group for connections. Its driver may come later, and come again: the kernel reports that too.
pub fn open(names: Names) -> io::Result<Box<dyn Source>> {
    let socket = nl80211::open_socket()?;
    socket.join(CONTROL.into())?;
    nl80211::ask_family(&socket)?;
    Ok(Box::new(Wifi { socket, family: 0, names }))
}

impl Source for Wifi {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        for _ in 0..AT_ONCE {
            match self.socket.receive(buffer) {
                Ok(mut datagram) => {
                    while let Some(message) = take_message(&mut datagram) {
                        if message.kind == CONTROL {
                            self.join(message);
                        } else if message.kind == self.family {
                            take(message.body, &self.names, out);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                Err(_) => {}
            }
        }
        Next::Rest
    }
}

impl Wifi {
    /// Joins the group for connections, if a message about a family is about that one.
    fn join(&mut self, message: Message<'_>) {
        if let Some((family, group)) = nl80211::parse_family(message) {
            // What is said of a family that goes away names a group that is gone.
            if self.socket.join(group).is_ok() {
                self.family = family;
            }
        }
    }
}

/// Takes note of a message about a connection.
fn take(message: &[u8], names: &Names, out: &mut Out<'_>) -> Option<()> {
    const INTERFACE: u16 = 3;
    const ADDRESS: u16 = 6;
    const REASON: u16 = 54;
    const BY_ACCESS_POINT: u16 = 71;
    const STATUS: u16 = 72;
    let (head, attributes) = message.split_at_checked(HEAD)?;
    let number = u32_at(attribute(attributes, INTERFACE), 0)?;
    let names = names.borrow();
    let name = names.iter().find(|link| link.index == number).map_or("Wi-Fi", |link| link.name());
    let code = |attribute_number| u16_at(attribute(attributes, attribute_number), 0).unwrap_or(0);
    let point = AccessPoint(attribute(attributes, ADDRESS));
    let mut attributes = attributes;
    let mut by_access_point = false;
    while let Some((number, _)) = take_attribute(&mut attributes) {
        by_access_point |= number == BY_ACCESS_POINT;
    }
    let mut say = |severity, what: fmt::Arguments<'_>, detail: fmt::Arguments<'_>| {
        out.note(&kinds::WIFI, severity, format_args!("{name} {what}"), detail, name);
    };
    match (head[0], code(STATUS)) {
        (CONNECT, 0) => say(Severity::Info, format_args!("connected to Wi-Fi"), format_args!("access point {point}")),
        (CONNECT, status) => {
            say(Severity::Warning, format_args!("could not connect to Wi-Fi"), format_args!("status {status}"));
        }
        (ROAM, _) => say(Severity::Info, format_args!("roamed to another access point"), format_args!("{point}")),
        (DISCONNECT, _) => {
            let who = if by_access_point { "by the access point" } else { "by this machine" };
            let reason = code(REASON);
            say(Severity::Warning, format_args!("disconnected from Wi-Fi"), format_args!("{who}, reason {reason}"));
        }
        _ => {}
    }
    None
}

/// An access point's address.
struct AccessPoint<'a>(&'a [u8]);

impl fmt::Display for AccessPoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if place == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut flow = super::Flow::default();
    let now = std::time::Duration::ZERO;
    let names = Names::default();
    take(text, &names, &mut Out { flow: &mut flow, now, processes: true, clock_is_right: false, to: &mut |_| {} });
}

#[cfg(test)]
mod tests {
    use super::super::Flow;
    use super::super::flow::testing::notes;
    use super::super::links::testing::names;
    use super::*;
    use crate::kernel::netlink::testing::attribute;

    const POINT: [u8; 6] = [0x8c, 0x3b, 0xad, 0, 1, 0xff];

    fn seen(command: u8, attributes: &[Vec<u8>]) -> Vec<String> {
        let body = [&[command, 1, 0, 0][..], &attributes.concat()].concat();
        notes(&mut Flow::default(), 0, |out| {
            take(&body, &names(3, "wlan0"), out);
        })
    }

    #[test]
    fn connections_are_reported_with_their_reasons() {
        let wlan = attribute(3, &3_u32.to_ne_bytes());
        let point = attribute(6, &POINT);
        let number = |attribute_number, value: u16| attribute(attribute_number, &value.to_ne_bytes());
        assert_eq!(
            seen(CONNECT, &[wlan.clone(), point.clone(), number(72, 0)]),
            ["wifi info: wlan0 connected to Wi-Fi | access point 8c:3b:ad:00:01:ff | wlan0"]
        );
        assert_eq!(
            seen(CONNECT, &[wlan.clone(), number(72, 17)]),
            ["wifi warning: wlan0 could not connect to Wi-Fi | status 17 | wlan0"]
        );
        assert_eq!(
            seen(ROAM, &[wlan.clone(), point.clone()]),
            ["wifi info: wlan0 roamed to another access point | 8c:3b:ad:00:01:ff | wlan0"]
        );
        assert_eq!(
            seen(DISCONNECT, &[wlan.clone(), number(54, 4), attribute(71, &[])]),
            ["wifi warning: wlan0 disconnected from Wi-Fi | by the access point, reason 4 | wlan0"]
        );
        assert_eq!(
            seen(DISCONNECT, &[wlan.clone(), number(54, 3)]),
            ["wifi warning: wlan0 disconnected from Wi-Fi | by this machine, reason 3 | wlan0"]
        );
        assert_eq!(seen(CONNECT, &[]), [""; 0]);
        assert_eq!(seen(33, &[wlan]), [""; 0]);
    }

    /// The kernel's own answer, on a machine with Wi-Fi or without: the family, or that there is none.
    #[test]
    fn the_kernel_is_asked_for_the_family() {
        let mut wifi = open(Names::default()).unwrap();
        let seen = notes(&mut Flow::default(), 0, |out| assert_eq!(wifi.read(&mut [0; 8192], out), Next::Wait));
        assert_eq!(seen, [""; 0]);
    }

    /// A driver that is loaded later, or again: the kernel reports the family, with its group, to everybody who listens.
    #[test]
    fn a_family_that_comes_later_is_known() {
        let mut wifi = Wifi { socket: nl80211::open_socket().unwrap(), family: 0, names: Names::default() };
        // The first group is one that each kernel has, the second one that none has.
        for (family, group) in [(33_u16, u32::from(CONTROL)), (34, 1 << 24)] {
            let group = [attribute(2, &group.to_ne_bytes()), attribute(1, b"mlme\0")].concat();
            let family = [attribute(1, &family.to_ne_bytes()), attribute(7, &attribute(1, &group))].concat();
            let body = [&[1, 2, 0, 0][..], &family].concat();
            wifi.join(Message { kind: CONTROL, flags: 0, body: &body });
            assert_eq!(wifi.family, 33);
        }
    }
}
