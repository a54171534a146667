//! nl80211: what the kernel's Wi-Fi is asked for, and how its numbers are found.
//! `include/uapi/linux/nl80211.h`, <https://docs.kernel.org/networking/netlink_spec/nl80211.html>

use super::netlink::{ERROR, Message, Netlink, attribute, take_message, u32_at};
use std::io;

/// The length of a generic message's head: command, version, two bytes of nothing.
pub const HEAD: usize = 4;
/// `CTRL_ATTR_FAMILY_ID`, in the description of a family.
pub const FAMILY: u16 = 1;

/// One datagram.
const BUFFER: usize = 8192;

/// Opens a socket and asks for the description of the family. Fails where there is no Wi-Fi.
///
/// # Errors
/// What the kernel or a service manager's filter says.
pub fn open(buffer: &mut [u8]) -> io::Result<(Netlink, Message<'_>)> {
    /// `GENL_ID_CTRL`, and its command to look up a family.
    const CONTROL: u16 = 16;
    const GET_FAMILY: &[u8] = &[3, 1, 0, 0];
    /// The attribute `CTRL_ATTR_FAMILY_NAME` with its head and padding.
    const NAME: &[u8] = &[12, 0, 2, 0];
    const NAME_OF_BIG_ENDIAN: &[u8] = &[0, 12, 0, 2];
    let socket = Netlink::open(libc::NETLINK_GENERIC, 0)?;
    let name = if cfg!(target_endian = "big") { NAME_OF_BIG_ENDIAN } else { NAME };
    let mut question = [0; 16];
    for (place, byte) in question.iter_mut().zip(GET_FAMILY.iter().chain(name).chain(b"nl80211\0")) {
        *place = *byte;
    }
    socket.ask(CONTROL, 0, &question)?;
    let message = answer(&socket, buffer)?;
    Ok((socket, message))
}

/// Receives the answer to a question; the kernel answers before it returns from the question.
fn answer<'a>(socket: &Netlink, buffer: &'a mut [u8]) -> io::Result<Message<'a>> {
    let mut answer = socket.receive(buffer)?;
    take_message(&mut answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The question for the country that the Wi-Fi works by, such as `DE`; `00` while none is set.
pub const COUNTRY: Question = Question { command: 31, attribute: 33 };
/// The question whether an interface saves power: 1 if it does.
pub const POWER_SAVE: Question = Question { command: 62, attribute: 93 };

/// A command, and the number of the attribute that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub command: u8,
    pub attribute: u16,
}

/// Asks about an interface, or with 0 about none, and returns how the answer begins, filled up with zeros. It may wait for the
/// firmware of a radio.
///
/// # Errors
/// What the kernel or the interface's driver says.
pub fn ask(question: Question, interface: u32) -> io::Result<[u8; 4]> {
    /// The attribute `NL80211_ATTR_IFINDEX`: its length and its number.
    const INTERFACE: [u16; 2] = [8, 3];
    let buffer = &mut [0; BUFFER];
    let (socket, message) = open(buffer)?;
    let family = u16::from_ne_bytes(first(value(message, FAMILY)?));
    let mut body = [question.command, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body[4..6].copy_from_slice(&INTERFACE[0].to_ne_bytes());
    body[6..8].copy_from_slice(&INTERFACE[1].to_ne_bytes());
    body[8..].copy_from_slice(&interface.to_ne_bytes());
    socket.ask(family, 0, if interface == 0 { &body[..HEAD] } else { &body })?;
    value(answer(&socket, buffer)?, question.attribute).map(first)
}

/// Returns the first bytes of a value, filled up with zeros.
fn first<const N: usize>(value: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, given) in bytes.iter_mut().zip(value) {
        *byte = *given;
    }
    bytes
}

/// Returns the value of an attribute.
fn value(message: Message<'_>, wanted: u16) -> io::Result<&[u8]> {
    if message.kind == ERROR {
        let code = u32_at(message.body, 0).unwrap_or_default() as i32;
        return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
    }
    Ok(attribute(message.body.get(HEAD..).unwrap_or_default(), wanted))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::{self, testing::attribute};
    use super::*;

    #[test]
    fn answers_are_values_or_errors() {
        let body = [&[62, 1, 0, 0][..], &attribute(93, &1_u32.to_ne_bytes()), &attribute(33, b"DE\0")].concat();
        let message = Message { kind: 33, flags: 0, body: &body };
        assert_eq!(first(value(message, 93).unwrap()), 1_u32.to_ne_bytes());
        assert_eq!(&first(value(message, 33).unwrap()), b"DE\0\0");
        assert_eq!(&first(value(message, 7).unwrap()), &[0; 4]);
        let error = Message { kind: ERROR, flags: 0, body: &(-libc::ENODEV).to_ne_bytes() };
        assert_eq!(value(error, 93).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert_eq!(value(Message { kind: ERROR, flags: 0, body: &[] }, 93).unwrap_err().raw_os_error(), Some(0));
    }

    /// The kernel's own answers, on a machine with Wi-Fi or without.
    #[test]
    fn the_kernel_answers_or_has_no_wifi() {
        match ask(COUNTRY, 0) {
            Ok(country) => assert_eq!(netlink::text(&country).len(), 2),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        }
        let error = ask(POWER_SAVE, u32::MAX).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT)), "{error}");
    }
}
