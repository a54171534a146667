//! nl80211: Wi-Fi that connects, disconnects or roams to another access point.
//! `include/uapi/linux/nl80211.h`, <https://docs.kernel.org/networking/netlink_spec/nl80211.html>

use super::links::Names;
use super::{AT_ONCE, Next, Out, Source};
use crate::kernel::netlink::{Netlink, attribute, take_attribute, take_message, u16_at, u32_at};
use crate::kernel::nl80211::{self, HEAD};
use crate::model::{Severity, kinds};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

const CONNECT: u8 = 46;
const ROAM: u8 = 47;
const DISCONNECT: u8 = 48;

struct Wifi {
    socket: Netlink,
    family: u16,
    names: Names,
}

/// Joins the group for connections. Fails where there is no Wi-Fi.
pub fn open(names: Names, buffer: &mut [u8]) -> io::Result<Box<dyn Source>> {
    let (socket, family, group) = nl80211::connect(buffer)?;
    socket.join(group)?;
    Ok(Box::new(Wifi { socket, family, names }))
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
                        if message.kind == self.family {
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

    /// The kernel's own answer, on a machine with Wi-Fi or without.
    #[test]
    fn the_kernel_knows_the_family_or_says_that_it_does_not() {
        if let Err(error) = open(Names::default(), &mut [0; 8192]) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
