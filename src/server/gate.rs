//! Connection admission: who gets a slot, who may keep it between requests, and whom we evict when none is free.

use super::link::{Link, Phase};
use super::peer::Peer;
use crate::runtime::traffic::{self, Reason};
use crate::sys;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;

/// The most connections.
pub const CONNECTIONS_MAX: usize = 128;
/// Evicted connections that may be closed in order at one time; more are closed at once.
const LEAVING_MAX: usize = 8;
/// File descriptors that connections leave to everything else: files that are kept open, and what wakes the agent.
const RESERVED: usize = 36;
/// File descriptors that are free at any time, for what collectors open anew.
const FREE: usize = 12;
/// The most memory, in bytes, that pages may occupy that are on their way to clients.
const PAGES: usize = 4 << 20;

/// All connections.
#[derive(Debug)]
pub struct Gate {
    links: RefCell<Vec<Rc<Link>>>,
    /// How many connections of one address stay open between requests: the value of `--web.connections-per-address`.
    kept_max: usize,
    /// Evicted connections that are being closed in order.
    leaving: Cell<usize>,
    /// The limit of open files, and how many connections it allows.
    files: Cell<usize>,
    most: Cell<usize>,
}

impl Gate {
    /// Creates a gate without connections.
    pub fn new(kept_max: usize) -> Self {
        Gate { links: RefCell::default(), kept_max, leaving: Cell::new(0), files: Cell::new(0), most: Cell::new(0) }
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.links.borrow().len()
    }

    /// Finds a slot for a connection whose socket has the number `descriptor`; `None` if all are taken by better ones.
    ///
    /// One address has half of all slots, so that those who share it (NAT, a proxy, a container's bridge) are all answered, and
    /// others are too.
    ///
    /// The kernel gives the lowest number that is free, so a high one means that few are left, and that there may be no more
    /// connections than at that moment. Where the limit is lower than what the agent itself needs, one is still served.
    pub fn admit(&self, peer: Peer, descriptor: usize) -> Option<Rc<Link>> {
        let files = sys::file_limit();
        let mut links = self.links.borrow_mut();
        if self.files.replace(files) != files {
            self.most.set(CONNECTIONS_MAX.min(files.saturating_sub(RESERVED)).max(1));
        }
        if descriptor.saturating_add(FREE) >= files {
            self.most.set(self.most.get().min(links.len()).max(1));
        }
        let of_one_max = self.kept_max.max(self.most.get() / 2);
        let placed = if links.iter().filter(|link| link.peer == peer).count() >= of_one_max {
            evict(&mut links, Some(peer))
        } else {
            links.len() < self.most.get() || evict(&mut links, None)
        };
        if !placed {
            traffic::refused(Reason::Full);
            return None;
        }
        let link = Rc::new(Link::new(peer));
        links.push(link.clone());
        traffic::open(links.len());
        Some(link)
    }

    /// Decides whether a connection stays open behind its answer: as many of each address do as the flag says. A surplus one
    /// ends with its answer, which says so, and leaves the others alone.
    pub fn keeps(&self, link: &Link) -> bool {
        if !link.kept.get() {
            let links = self.links.borrow();
            let kept = links.iter().filter(|other| other.peer == link.peer && other.kept.get()).count();
            link.kept.set(kept < self.kept_max);
        }
        link.kept.get()
    }

    /// Takes one of the few descriptors that are there for evicted connections; false if there is none.
    pub fn begin_leaving(&self) -> bool {
        let free = self.leaving.get() < LEAVING_MAX && self.most.get() == CONNECTIONS_MAX;
        self.leaving.set(self.leaving.get() + usize::from(free));
        free
    }

    /// Gives it back.
    pub fn end_leaving(&self) {
        self.leaving.set(self.leaving.get() - 1);
    }

    /// Gives a connection's slot to others.
    pub fn leave(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        links.retain(|other| !Rc::ptr_eq(other, link));
        traffic::open(links.len());
    }

    /// Drops who reads slowest until the pages that are on their way to clients fit into their memory again, with that of `link`.
    pub fn make_room(&self, link: &Link) {
        let mut links = self.links.borrow_mut();
        while links.iter().map(|link| link.page.get().1).sum::<usize>() > PAGES && occupied(&links) > PAGES {
            let others = links
                .iter()
                .enumerate()
                .filter(|(_, other)| other.page.get().1 > 0 && !std::ptr::eq(&raw const ***other, link));
            let Some((place, _)) = others.min_by_key(|(_, other)| other.sent_by()) else { return };
            links.swap_remove(place).evict(Reason::SlowReader);
        }
    }
}

/// The memory of all pages, each of which may be on its way to several clients.
fn occupied(links: &[Rc<Link>]) -> usize {
    let mut sum = 0;
    for (place, link) in links.iter().enumerate() {
        let page = link.page.get();
        if !links[..place].iter().any(|other| other.page.get() == page) {
            sum += page.1;
        }
    }
    sum
}

/// Evicts the connection (of `peer`, if given) that is worth least: the oldest that never asked what it is let in for; if there
/// is none, of the address with most connections the one that has been idle longest, rather than one whose next request has
/// begun. Who is being answered stays.
fn evict(links: &mut Vec<Rc<Link>>, peer: Option<Peer>) -> bool {
    let of_peer = |link: &Link| Reverse(links.iter().filter(|other| other.peer == link.peer).count());
    let worth = |link: &Link| match (link.heard.get(), link.phase.get()) {
        (None, _) => Some((Reverse(usize::MAX), Phase::Head, link.since)),
        (Some(_), Phase::Answer | Phase::Send) => None,
        (Some(heard), phase) => Some((of_peer(link), phase, heard)),
    };
    let candidates = links.iter().enumerate().filter(|(_, link)| peer.is_none_or(|peer| link.peer == peer));
    let least = candidates.filter_map(|(place, link)| Some((worth(link)?, place))).min();
    let Some((_, place)) = least else { return false };
    links.swap_remove(place).evict(Reason::Full);
    true
}
