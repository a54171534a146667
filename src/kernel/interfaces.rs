//! Network interfaces as rtnetlink lists them: one question says whether anything about any of them has changed.
//! <https://docs.kernel.org/networking/netlink_spec/rt-link.html>

use super::netlink::{self, Netlink, take_attribute, take_message, u32_at};
use super::text::hex;
use crate::model::key;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// `RTM_NEWLINK` and `RTM_GETLINK` of `include/uapi/linux/rtnetlink.h`.
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;

/// Numbers of attributes, `IFLA_ADDRESS` and so on, of `include/uapi/linux/if_link.h`.
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const COUNTERS: u16 = 23;
const FILTER: u16 = 29;
const ALL_MULTICAST: u16 = 61;

/// The attributes that files of sysfs say, too: the address and that for all, the name, the MTU, the link, the queue's length, the state,
/// the link's mode, the alias, the group, the users of promiscuous mode, the carrier and its changes, the users of all multicast.
/// Others have counters, and timers of bridges.
const STATE: [u16; 16] = [ADDRESS, 2, NAME, 4, 5, 13, 16, 17, 20, 27, 30, 33, 35, 47, 48, ALL_MULTICAST];

/// The socket that [`reserve`] opened.
static RESERVED: Mutex<Option<Netlink>> = Mutex::new(None);

/// Opens the socket while that is allowed.
pub fn reserve() {
    *RESERVED.lock().unwrap_or_else(PoisonError::into_inner) = open().ok();
}

fn open() -> std::io::Result<Netlink> {
    Netlink::open(libc::NETLINK_ROUTE, 0)
}

/// All interfaces, and the way to ask for them.
#[derive(Debug, Default)]
pub struct Interfaces {
    /// `None` where rtnetlink is refused, or is about other interfaces than the files are.
    socket: Option<Netlink>,
    pub all: Vec<Interface>,
}

/// One interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    pub index: u64,
    name: [u8; 16],
    address: [u8; 32],
    /// Flags as in `include/uapi/linux/if.h`.
    pub flags: u32,
    /// Received packets that nothing wanted.
    pub unwanted: Option<u64>,
}

impl Interface {
    /// Returns its name; empty if it is no text.
    pub fn name(&self) -> &str {
        std::str::from_utf8(netlink::text(&self.name)).unwrap_or_default()
    }

    /// Returns whether its address is `text`, such as `02:fc:00:00:00:01`.
    pub fn has_address(&self, text: &[u8]) -> bool {
        let mut address = [0; 32];
        for (place, byte) in text.split(|&byte| byte == b':').enumerate() {
            let Some((room, byte)) = address.get_mut(place).zip(hex(byte)) else {
                return text.is_empty() && self.address == address;
            };
            *room = byte as u8;
        }
        address == self.address
    }
}

impl Interfaces {
    /// Takes the reserved socket, or opens one, if `sys` is where this machine's sysfs is.
    pub fn new(sys: &Path) -> Self {
        let reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner).take();
        let socket = if sys == Path::new("/sys") { reserved.or_else(|| open().ok()) } else { None };
        Interfaces { socket, all: Vec::new() }
    }

    /// Lists all interfaces. Returns a number that is another one when anything about any of them is; `None` if that is not known.
    pub fn list(&mut self, buffer: &mut [u8]) -> Option<u64> {
        self.all.clear();
        let listed = self.ask(buffer);
        if listed.is_none() {
            // The next answer would be no better, and the rest of this one would be taken for it.
            self.socket = None;
        }
        listed.filter(|(_, is_whole)| *is_whole).map(|(hash, _)| hash)
    }

    /// Asks for all interfaces. Returns the number, and whether nothing changed meanwhile; `None` if the answer is not understood.
    fn ask(&mut self, buffer: &mut [u8]) -> Option<(u64, bool)> {
        /// `RTEXT_FILTER_SKIP_STATS`: without the counters of IPv6, which take longer than all the rest.
        const NO_COUNTERS: u32 = 8;
        let Interfaces { socket, all } = self;
        let socket = socket.as_ref()?;
        // `struct ifinfomsg`, then an attribute.
        let mut body = [0; 24];
        body[18..20].copy_from_slice(&FILTER.to_ne_bytes());
        body[16..18].copy_from_slice(&8_u16.to_ne_bytes());
        body[20..].copy_from_slice(&NO_COUNTERS.to_ne_bytes());
        socket.ask(GET_LINK, netlink::ALL, &body).ok()?;
        let (mut hash, mut is_whole) = (0, true);
        loop {
            let mut datagram = socket.receive(buffer).ok()?;
            while let Some(message) = take_message(&mut datagram) {
                is_whole &= message.flags & netlink::INTERRUPTED == 0;
                match message.kind {
                    netlink::DONE => return Some((hash, is_whole)),
                    netlink::ERROR => return None,
                    NEW_LINK => all.push(parse(message.body, &mut hash)?),
                    _ => {}
                }
            }
            // A message that did not fit was cut.
            if !datagram.is_empty() {
                return None;
            }
        }
    }
}

/// Parses `struct ifinfomsg` and the attributes behind it, and mixes them into `hash`.
fn parse(body: &[u8], hash: &mut u64) -> Option<Interface> {
    let (head, mut attributes) = body.split_at_checked(16)?;
    let mut interface = Interface {
        index: u32_at(head, 4)?.into(),
        name: [0; 16],
        address: [0; 32],
        flags: u32_at(head, 8)?,
        unwanted: None,
    };
    // Without this attribute, which came with Linux 6.0, one of the flags may change and nothing says so.
    let mut is_whole = false;
    *hash = key(head, *hash as usize);
    while let Some((number, value)) = take_attribute(&mut attributes) {
        if STATE.contains(&number) {
            *hash = key(value, *hash as usize ^ usize::from(number));
        }
        match number {
            NAME => copy(netlink::text(value), &mut interface.name)?,
            ADDRESS => copy(value, &mut interface.address)?,
            ALL_MULTICAST => is_whole = true,
            // `struct rtnl_link_stats64`, whose 24th number came with Linux 4.6.
            COUNTERS => {
                interface.unwanted =
                    value.get(23 * 8..).and_then(|rest| rest.first_chunk().copied()).map(u64::from_ne_bytes)
            }
            _ => {}
        }
    }
    is_whole.then_some(interface)
}

fn copy(from: &[u8], to: &mut [u8]) -> Option<()> {
    to.get_mut(..from.len())?.copy_from_slice(from);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::netlink::testing::attribute;
    use super::*;

    /// A message about an interface with these attributes beside those that each has.
    fn body(more: &[(u16, &[u8])]) -> Vec<u8> {
        let head = [&[0; 4][..], &4_u32.to_ne_bytes(), &0x1003_u32.to_ne_bytes(), &[0; 4]].concat();
        let all = [(NAME, &b"eth0\0"[..]), (ADDRESS, &[2, 0xfc, 0, 0, 0, 1]), (ALL_MULTICAST, &[0; 4])];
        let attributes = all.iter().chain(more).flat_map(|(number, value)| attribute(*number, value));
        head.into_iter().chain(attributes).collect()
    }

    fn hash(more: &[(u16, &[u8])]) -> u64 {
        let mut hash = 0;
        parse(&body(more), &mut hash).unwrap();
        hash
    }

    #[test]
    fn an_interface_with_its_counters() {
        let counters: Vec<u8> = (1_u64..26).flat_map(u64::to_ne_bytes).collect();
        let interface = parse(&body(&[(COUNTERS, &counters)]), &mut 0).unwrap();
        assert_eq!((interface.name(), interface.index, interface.flags), ("eth0", 4, 0x1003));
        assert_eq!(interface.unwanted, Some(24));
        assert_eq!(parse(&body(&[(COUNTERS, &counters[..184])]), &mut 0).unwrap().unwanted, None);
        for (text, is_it) in [
            ("02:fc:00:00:00:01", true),
            ("02:fc:00:00:00:02", false),
            ("02:fc:00:00:00", false),
            ("02:fc:00:00:00:01:01", false),
            ("02:fc:00:00:00:x", false),
            ("", false),
        ] {
            assert_eq!(interface.has_address(text.as_bytes()), is_it, "{text}");
        }
    }

    #[test]
    fn what_files_say_makes_a_difference_and_counters_do_not() {
        let before = hash(&[]);
        for number in STATE {
            assert_ne!(hash(&[(number, &[0; 4])]), before, "{number}");
            assert_ne!(hash(&[(number, &[0, 0, 0, 1])]), hash(&[(number, &[0; 4])]), "{number}");
        }
        let kinds = [7, COUNTERS, 18, 26];
        assert!(kinds.iter().all(|number| hash(&[(*number, &[1; 200])]) == before));
        let mut other = 0;
        let mut head = body(&[]);
        head[8] = 2;
        parse(&head, &mut other).unwrap();
        assert_ne!(other, before, "the flags");
    }

    #[test]
    fn what_is_not_understood_is_no_interface() {
        let good = body(&[]);
        for end in 0..good.len() {
            assert_eq!(parse(&good[..end], &mut 0), None, "the last attribute is needed: {end}");
        }
        for (number, value) in [(NAME, [b'x'; 40]), (ADDRESS, [1; 40])] {
            assert_eq!(parse(&body(&[(number, &value)]), &mut 0), None);
        }
    }

    #[test]
    fn the_kernel_lists_them_unless_the_files_are_not_its_own() {
        let mut buffer = [0; 8192];
        let mut machine = Interfaces::new(Path::new("/sys"));
        assert!(machine.list(&mut buffer).is_some());
        assert!(machine.all.iter().any(|it| (it.name(), it.index) == ("lo", 1)));
        // One that does not fit is none, and the rest of it is not taken for the next answer.
        assert_eq!(machine.list(&mut buffer[..1000]), None);
        assert_eq!(machine.list(&mut buffer), None);
        assert_eq!(Interfaces::new(Path::new("/tmp")).list(&mut buffer), None);
    }
}
