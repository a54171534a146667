//! rtnetlink: network interfaces and addresses that come, go or change.
//! <https://docs.kernel.org/networking/netlink_spec/rt-link.html>, <https://docs.kernel.org/networking/netlink_spec/rt-addr.html>
//!
//! The kernel reports a change several times, and reports much that is none. So what it says is compared with what was known:
//! a list of everything is asked for at the start, and again after messages were lost.

use super::{AT_ONCE, Next, Out, Source};
use crate::kernel::devices::announce;
use crate::kernel::netlink::{self, Message, Netlink, attribute, take_message, u32_at};
use crate::model::{EventKind, Severity, kinds};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of `include/uapi/linux/rtnetlink.h`.
const GROUPS: u32 = 1 | 0x10 | 0x100;

const NEW_LINK: u16 = 16;
const DELETED_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DELETED_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;

/// How many interfaces and addresses are watched; a machine with more has containers, whose ends are of no interest.
const LINKS_MAX: usize = 64;
const ADDRESSES_MAX: usize = 64;

/// How long a change of a Wi-Fi link waits for the word of nl80211, which knows the reason.
const WAIT_FOR_REASON: Duration = Duration::from_secs(3);

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    name: [u8; 16],
    up: bool,
    /// Whether it has a carrier; `None` while it is down, when drivers differ.
    carrier: Option<bool>,
    /// The machine's end of a container's network: it comes and goes with the container.
    plumbing: bool,
    listed: bool,
    /// Since when a change of a Wi-Fi link waits to be reported.
    waits: Option<Duration>,
}

impl Link {
    /// Returns its name; empty if it is no text.
    pub fn name(&self) -> &str {
        std::str::from_utf8(netlink::text(&self.name)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    index: u32,
    family: u8,
    prefix: u8,
    bytes: [u8; 16],
    listed: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.bytes;
        match self.family == libc::AF_INET as u8 {
            true => Ipv4Addr::new(a, b, c, d).fmt(f)?,
            false => Ipv6Addr::from(self.bytes).fmt(f)?,
        }
        write!(f, "/{}", self.prefix)
    }
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Nothing,
    Links,
    Addresses,
}

/// The interfaces, in which the source of Wi-Fi events finds names.
pub type Names = Rc<RefCell<Vec<Link>>>;

/// What is known of the network.
#[derive(Debug)]
struct Known {
    sys: PathBuf,
    links: Names,
    addresses: Vec<Address>,
    /// The list that is being received.
    listing: Listing,
    /// Whether what is being listed has changed meanwhile, or messages were lost.
    again: bool,
    /// Whether there was a complete list; what the first one holds is not new.
    started: bool,
}

/// The source.
pub struct Links {
    socket: Netlink,
    known: Known,
}

/// Starts to listen, and asks for everything.
pub fn open(sys: &Path) -> io::Result<Links> {
    let mut links = Links { socket: Netlink::open(libc::NETLINK_ROUTE, GROUPS)?, known: Known::new(sys) };
    links.list(Listing::Links);
    Ok(links)
}

impl Links {
    /// Returns the interfaces, which go on changing.
    pub fn names(&self) -> Names {
        self.known.links.clone()
    }

    /// Asks for a list.
    fn list(&mut self, what: Listing) {
        let (kind, head) = match what {
            Listing::Nothing => return,
            Listing::Links => (GET_LINK, 16),
            Listing::Addresses => (GET_ADDRESS, 8),
        };
        self.known.begin(what);
        if self.socket.ask(kind, netlink::ALL, &[0; 16][..head]).is_err() {
            self.known.listing = Listing::Nothing;
        }
    }
}

impl Source for Links {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        announce();
        for _ in 0..AT_ONCE {
            let next = match self.socket.receive(buffer) {
                Ok(datagram) => self.known.take(datagram, out),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                // ENOBUFS, once: messages were lost.
                Err(_) => self.known.lost(),
            };
            self.list(next);
        }
        Next::Rest
    }

    fn tick(&mut self, out: &mut Out<'_>) {
        self.known.tick(out);
    }
}

impl Known {
    fn new(sys: &Path) -> Self {
        Known {
            sys: sys.to_owned(),
            links: Rc::new(RefCell::new(Vec::with_capacity(LINKS_MAX))),
            addresses: Vec::with_capacity(ADDRESSES_MAX),
            listing: Listing::Nothing,
            again: false,
            started: false,
        }
    }

    fn begin(&mut self, what: Listing) {
        self.listing = what;
        match what {
            Listing::Links => self.links.borrow_mut().iter_mut().for_each(|link| link.listed = false),
            _ => self.addresses.iter_mut().for_each(|address| address.listed = false),
        }
    }

    /// Messages were lost. Returns what to ask for.
    fn lost(&mut self) -> Listing {
        if self.listing == Listing::Nothing {
            return Listing::Links;
        }
        self.again = true;
        Listing::Nothing
    }

    /// Takes note of what a datagram says. Returns what to ask for next.
    fn take(&mut self, mut datagram: &[u8], out: &mut Out<'_>) -> Listing {
        while let Some(message) = take_message(&mut datagram) {
            self.again |= message.flags & netlink::INTERRUPTED != 0 && self.listing != Listing::Nothing;
            match message.kind {
                NEW_LINK | DELETED_LINK => {
                    self.link(message, out);
                }
                NEW_ADDRESS | DELETED_ADDRESS => {
                    self.address(message, out);
                }
                netlink::DONE | netlink::ERROR => return self.end(out),
                _ => {}
            }
        }
        Listing::Nothing
    }

    /// Ends a list: what it did not hold is gone. Returns what to ask for next.
    fn end(&mut self, out: &mut Out<'_>) -> Listing {
        let ended = std::mem::replace(&mut self.listing, Listing::Nothing);
        if std::mem::take(&mut self.again) {
            return Listing::Links;
        }
        match ended {
            Listing::Nothing => Listing::Nothing,
            Listing::Links => {
                let links = self.links.clone();
                links.borrow_mut().retain(|link| link.listed || self.gone(link, out));
                Listing::Addresses
            }
            Listing::Addresses => {
                for place in (0..self.addresses.len()).rev() {
                    if !self.addresses[place].listed {
                        self.forget(place, out);
                    }
                }
                self.started = true;
                Listing::Nothing
            }
        }
    }

    /// An interface is gone. Returns false: it is not kept.
    fn gone(&self, link: &Link, out: &mut Out<'_>) -> bool {
        self.say(link, Severity::Info, "disappeared", out);
        false
    }

    fn say(&self, link: &Link, severity: Severity, what: &str, out: &mut Out<'_>) {
        self.note(&kinds::LINK, link, severity, format_args!("{} {what}", link.name()), out);
    }

    fn note(
        &self,
        kind: &'static EventKind,
        link: &Link,
        severity: Severity,
        title: fmt::Arguments<'_>,
        out: &mut Out<'_>,
    ) {
        if self.started && !link.plumbing {
            out.note(kind, severity, title, format_args!(""), link.name());
        }
    }

    /// Reports that a link came or went.
    fn carrier(&self, link: &Link, out: &mut Out<'_>) {
        match link.carrier {
            Some(true) => self.say(link, Severity::Info, "has a link", out),
            _ => self.say(link, Severity::Warning, "lost its link", out),
        }
    }

    /// Reports the Wi-Fi links that changed without a word from nl80211, such as an access point's own.
    fn tick(&mut self, out: &mut Out<'_>) {
        let links = self.links.clone();
        for link in links.borrow_mut().iter_mut() {
            if link.waits.is_some_and(|since| out.now.saturating_sub(since) >= WAIT_FOR_REASON) {
                link.waits = None;
                if !out.knows(&kinds::WIFI, link.name()) {
                    self.carrier(link, out);
                }
            }
        }
    }

    /// A message about an interface: `struct ifinfomsg`, then attributes.
    fn link(&mut self, message: Message<'_>, out: &mut Out<'_>) -> Option<()> {
        const NAME: u16 = 3;
        const INFO: u16 = 18;
        const INFO_KIND: u16 = 1;
        const UP: u32 = 1;
        const LOOPBACK: u32 = 8;
        /// `IFF_LOWER_UP`: the driver sees a carrier.
        const CARRIER: u32 = 0x1_0000;
        let (head, attributes) = message.body.split_at_checked(16)?;
        let (index, flags) = (u32_at(head, 4)?, u32_at(head, 8)?);
        // Bridges report their ports with messages of the same kind, of another family.
        if head[0] != 0 || flags & LOOPBACK != 0 {
            return None;
        }
        let links = self.links.clone();
        let mut links = links.borrow_mut();
        let place = links.iter().position(|link| link.index == index);
        if message.kind == DELETED_LINK {
            self.gone(&links.swap_remove(place?), out);
            return None;
        }
        let up = flags & UP != 0;
        let mut name = [0; 16];
        let text = netlink::text(attribute(attributes, NAME));
        name.get_mut(..text.len())?.copy_from_slice(text);
        let carrier = up.then_some(flags & CARRIER != 0);
        let mut link = Link { index, name, up, carrier, plumbing: false, listed: true, waits: None };
        let Some(place) = place else {
            let kind = netlink::text(attribute(attribute(attributes, INFO), INFO_KIND));
            link.plumbing = self.started && kind == b"veth";
            if links.len() < LINKS_MAX {
                links.push(link);
                self.say(&link, Severity::Info, "appeared", out);
            }
            return None;
        };
        let before = links[place];
        (link.plumbing, link.waits) = (before.plumbing, before.waits);
        match (before.up, up) {
            (true, false) => {
                link.waits = None;
                self.say(&link, Severity::Info, "was switched off", out);
            }
            (false, true) => self.say(&link, Severity::Info, "was switched on", out),
            _ if before.carrier == carrier => {}
            // nl80211 may report the same, sooner or later.
            _ if self.sys.join("class/net").join(link.name()).join("phy80211").exists() => link.waits = Some(out.now),
            _ => self.carrier(&link, out),
        }
        links[place] = link;
        None
    }

    /// A message about an address: `struct ifaddrmsg`, then attributes.
    fn address(&mut self, message: Message<'_>, out: &mut Out<'_>) -> Option<()> {
        const ADDRESS: u16 = 1;
        const LOCAL: u16 = 2;
        const FLAGS: u16 = 8;
        const TEMPORARY: u32 = 1;
        const DUPLICATE: u32 = 8;
        const TENTATIVE: u32 = 0x40;
        /// Addresses of a link or a machine alone have larger scopes.
        const SITE: u8 = 200;
        let (head, attributes) = message.body.split_at_checked(8)?;
        let [family, prefix, flags, scope, ..] = *head else { return None };
        let is_ipv6 = family == libc::AF_INET6 as u8;
        let flags = u32_at(attribute(attributes, FLAGS), 0).unwrap_or(flags.into());
        // The same bit is set for an interface's second IPv4 address.
        if scope > SITE || is_ipv6 && flags & TEMPORARY != 0 {
            return None;
        }
        // Of a point-to-point link, the other is the peer's.
        let local = attribute(attributes, LOCAL);
        let value = if local.is_empty() { attribute(attributes, ADDRESS) } else { local };
        let mut bytes = [0; 16];
        let length = if is_ipv6 { 16 } else { 4 };
        bytes[..length].copy_from_slice(value.get(..length)?);
        let address = Address { index: u32_at(head, 4)?, family, prefix, bytes, listed: true };
        let same = |it: &Address| Address { listed: true, ..*it } == address;
        let place = self.addresses.iter().position(same);
        if message.kind == DELETED_ADDRESS {
            self.forget(place?, out);
        } else if let Some(place) = place {
            self.addresses[place].listed = true;
        } else if flags & DUPLICATE != 0 {
            self.tell(&address, Severity::Warning, "cannot use, because another device has it,", out);
        } else if flags & TENTATIVE == 0 && self.addresses.len() < ADDRESSES_MAX {
            self.addresses.push(address);
            self.tell(&address, Severity::Info, "got", out);
        }
        None
    }

    /// An address is gone.
    fn forget(&mut self, place: usize, out: &mut Out<'_>) {
        let address = self.addresses.swap_remove(place);
        self.tell(&address, Severity::Info, "lost", out);
    }

    fn tell(&self, address: &Address, severity: Severity, what: &str, out: &mut Out<'_>) {
        let links = self.links.borrow();
        let Some(link) = links.iter().find(|link| link.index == address.index) else { return };
        self.note(&kinds::ADDRESS, link, severity, format_args!("{} {what} the address {address}", link.name()), out);
    }
}

/// Runs the parser of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut known = Known::new(Path::new("/nowhere"));
    let mut flow = super::Flow::default();
    for listing in [Listing::Links, Listing::Addresses, Listing::Nothing] {
        known.begin(listing);
        let now = std::time::Duration::ZERO;
        known.take(text, &mut Out { flow: &mut flow, now, processes: true, clock_is_right: false, to: &mut |_| {} });
    }
}

/// Interfaces for other tests.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// One interface.
    pub fn names(index: u32, name: &str) -> Names {
        let mut link =
            Link { index, name: [0; 16], up: true, carrier: None, plumbing: false, listed: true, waits: None };
        link.name[..name.len()].copy_from_slice(name.as_bytes());
        Rc::new(RefCell::new(vec![link]))
    }
}

#[cfg(test)]
mod tests;
