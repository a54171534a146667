//! Netlink: the conversation with the kernel about interfaces, addresses, radios and the like.
//! <https://docs.kernel.org/userspace-api/netlink/intro.html>
//!
//! A datagram holds messages, a message a head of its protocol and attributes, an attribute perhaps more attributes. All of
//! them carry their length, and begin at a multiple of 4.

use crate::sys;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `NLMSG_ERROR`, `NLMSG_DONE`.
pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: what is dumped has changed meanwhile.
pub const INTERRUPTED: u16 = 0x10;
/// `NLM_F_DUMP`: all of a kind.
pub const ALL: u16 = 0x300;

/// The length of a message's head.
const HEAD: usize = 16;

/// A message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub body: &'a [u8],
}

/// Takes the next message off a datagram; `None` at its end, or where a length is wrong.
pub fn take_message<'a>(rest: &mut &'a [u8]) -> Option<Message<'a>> {
    let all = *rest;
    let length = u32_at(all, 0)? as usize;
    let message = Message { kind: u16_at(all, 4)?, flags: u16_at(all, 6)?, body: all.get(HEAD..length)? };
    *rest = all.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(message)
}

/// Takes the next attribute off a message: its number and its value; `None` at the end, or where a length is wrong.
pub fn take_attribute<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let all = *rest;
    let length = usize::from(u16_at(all, 0)?);
    // The two upper bits say that there are attributes in it, or in which order its bytes are.
    let attribute = (u16_at(all, 2)? & 0x3fff, all.get(4..length)?);
    *rest = all.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(attribute)
}

/// Returns the value of the first attribute of this number; empty if there is none.
pub fn attribute(mut attributes: &[u8], number: u16) -> &[u8] {
    while let Some((found, value)) = take_attribute(&mut attributes) {
        if found == number {
            return value;
        }
    }
    &[]
}

/// Returns the number of 32 bits at a place.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// Returns the number of 16 bits at a place.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// Returns text up to the NUL byte that ends it.
pub fn text(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A socket to one of netlink's protocols, which receives from the kernel alone and never waits.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens a socket that hears what is sent to `groups`, as bits. Afterwards the sandbox refuses that.
    ///
    /// # Errors
    /// What the kernel or a service manager's filter says.
    pub fn open(protocol: libc::c_int, groups: u32) -> io::Result<Self> {
        sys::netlink(protocol, groups).map(Netlink)
    }

    /// Hears what is sent to a group too, by its number.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn join(&self, group: u32) -> io::Result<()> {
        sys::join(&self.0, group)
    }

    /// Asks the kernel something: a message of a kind, with flags such as [`ALL`]; `body` is at most 48 bytes long.
    ///
    /// # Errors
    /// What `send(2)` says.
    pub fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        const REQUEST: u16 = 1;
        let mut message = [0; 64];
        let length = HEAD + body.len();
        message[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        message.get_mut(HEAD..length).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(body);
        sys::send(&self.0, &message[..length])
    }

    /// Receives one datagram; empty if it was not the kernel's. One that does not fit is cut.
    ///
    /// # Errors
    /// As [`sys::receive_from_kernel`].
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let length = sys::receive_from_kernel(&self.0, buffer)?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Writes messages and attributes as the kernel does.
#[cfg(test)]
pub mod testing {
    /// An attribute with its padding.
    pub fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let mut all = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        all.extend(number.to_ne_bytes());
        all.extend(value);
        all.resize(all.len().next_multiple_of(4), 0);
        all
    }

    /// A message with its head.
    pub fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut all = (body.len() as u32 + 16).to_ne_bytes().to_vec();
        all.extend(kind.to_ne_bytes());
        all.extend(flags.to_ne_bytes());
        all.extend([0; 8]);
        all.extend(body);
        all.resize(all.len().next_multiple_of(4), 0);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_are_taken_apart() {
        let attributes = [testing::attribute(3, b"eth0\0"), testing::attribute(0x8012, b"abcd")].concat();
        assert_eq!((attribute(&attributes, 3), attribute(&attributes, 0x12)), (&b"eth0\0"[..], &b"abcd"[..]));
        assert_eq!((text(b"eth0\0x"), attribute(&attributes, 9)), (&b"eth0"[..], &b""[..]));
        let datagram = [testing::message(16, 2, b"12345"), testing::message(DONE, 0, &[0; 4])].concat();
        let mut rest = &datagram[..];
        assert_eq!(take_message(&mut rest), Some(Message { kind: 16, flags: 2, body: b"12345" }));
        assert_eq!(take_message(&mut rest).map(|it| it.kind), Some(DONE));
        assert_eq!(take_message(&mut rest), None);
    }

    /// Whatever lengths a datagram claims, taking it apart ends and stays within it.
    #[test]
    fn wrong_lengths_end_it() {
        let good = [testing::message(16, 0, &testing::attribute(3, b"eth0\0")), testing::message(16, 0, b"")].concat();
        for place in 0..good.len() {
            for byte in [0, 1, 3, 4, 15, 16, 17, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[place] = byte;
                for end in 0..=bad.len() {
                    let mut rest = &bad[..end];
                    let mut count = 0;
                    while let Some(message) = take_message(&mut rest) {
                        let mut attributes = message.body;
                        while take_attribute(&mut attributes).is_some() {
                            count += 1;
                        }
                        count += 1;
                    }
                    assert!(count <= good.len() / 4, "{place} {byte} {end}");
                }
            }
        }
    }

    /// What this machine's kernel answers about its loopback interface.
    #[test]
    fn the_kernel_answers() {
        const GET_LINK: u16 = 18;
        let socket = Netlink::open(libc::NETLINK_ROUTE, 0).unwrap();
        socket.ask(GET_LINK, ALL, &[0; 16]).unwrap();
        let mut buffer = [0; 8192];
        let (mut names, mut done) = (Vec::new(), false);
        while !done {
            let mut rest = socket.receive(&mut buffer).unwrap();
            while let Some(message) = take_message(&mut rest) {
                done |= message.kind == DONE;
                names.push(text(attribute(message.body.get(16..).unwrap_or_default(), 3)).to_vec());
            }
        }
        assert!(names.contains(&b"lo".to_vec()), "{names:?}");
    }
}
