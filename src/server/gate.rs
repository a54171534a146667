//! Who gets a place, and who has to make place for others.

use super::link::{Link, Peer, Phase};
use crate::runtime::traffic::{self, Reason};
use crate::sys;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;

/// The most connections.
const MOST: usize = 128;
/// The most connections of one address.
const MOST_OF_ONE: usize = 16;
/// File descriptors that connections leave to everything else.
const RESERVED: usize = 24;
/// File descriptors that are free at any time, for what collectors open anew.
const FREE: usize = 12;
/// The most memory, in bytes, that pages may occupy that are on their way to clients.
const PAGES: usize = 4 << 20;

/// All connections.
#[derive(Debug, Default)]
pub struct Gate {
    links: RefCell<Vec<Rc<Link>>>,
    /// The limit of open files, and how many connections it allows.
    files: Cell<usize>,
    most: Cell<usize>,
}

impl Gate {
    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.links.borrow().len()
    }

    /// A place for a connection whose socket has the number `descriptor`; `None` if all are taken by better ones.
    ///
    /// The kernel gives the lowest number that is free, so a high one means that few are left, and that there may be no more
    /// connections than at that moment. Where the limit is lower than what the agent itself needs, one is still served.
    pub fn admit(&self, peer: Peer, descriptor: usize) -> Option<Rc<Link>> {
        let files = sys::file_limit();
        let mut links = self.links.borrow_mut();
        if self.files.replace(files) != files {
            self.most.set(MOST.min(files.saturating_sub(RESERVED)).max(1));
        }
        if descriptor.saturating_add(FREE) >= files {
            self.most.set(self.most.get().min(links.len()).max(1));
        }
        let placed = if links.iter().filter(|link| link.peer == peer).count() >= MOST_OF_ONE {
            make_place(&mut links, Some(peer))
        } else {
            links.len() < self.most.get() || make_place(&mut links, None)
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

    /// Gives a connection's place to others.
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
            links.swap_remove(place).drop_for(Reason::SlowReader);
        }
    }
}

/// The memory of all pages, each of which may be on its way to several clients.
fn occupied(links: &[Rc<Link>]) -> usize {
    let mut pages: Vec<_> = links.iter().map(|link| link.page.get()).collect();
    pages.sort_unstable();
    pages.dedup();
    pages.iter().map(|(_, length)| length).sum()
}

/// Drops the connection (of `peer`, if given) that is worth least: the oldest that never asked what it is let in for; if there
/// is none, of the address with most connections the one that has been idle longest. Who is being answered stays.
fn make_place(links: &mut Vec<Rc<Link>>, peer: Option<Peer>) -> bool {
    let worth = |link: &Link| match (link.heard.get(), link.phase.get()) {
        (None, _) => Some((Reverse(usize::MAX), link.since)),
        (Some(_), Phase::Answer | Phase::Send) => None,
        (Some(heard), _) => Some((Reverse(links.iter().filter(|other| other.peer == link.peer).count()), heard)),
    };
    let candidates = links.iter().enumerate().filter(|(_, link)| peer.is_none_or(|peer| link.peer == peer));
    let least = candidates.filter_map(|(place, link)| Some((worth(link)?, place))).min();
    let Some((_, place)) = least else { return false };
    links.swap_remove(place).drop_for(Reason::Full);
    true
}
