//! Interfaces that are what they were are not read again: one question to rtnetlink takes the place of twenty files of each.

use super::read::Reader;
use crate::kernel::interfaces::Interfaces;
use crate::kernel::text::uint;
use crate::model::key;
use std::path::Path;
use std::time::Duration;

/// How long files are not read again though nothing has changed, in case that something changed back while they were read.
const KEEP: Duration = Duration::from_secs(300);

/// `IFF_UP` and `IFF_LOOPBACK` of `include/uapi/linux/if.h`.
const UP: u32 = 1;
const LOOPBACK: u32 = 8;

/// The most interfaces that are listed in this way: each is looked for among all of them.
const INTERFACES_MAX: usize = 64;

/// What rtnetlink says of the interfaces.
#[derive(Debug)]
pub struct Links {
    interfaces: Interfaces,
    /// What they were when sysfs was found to have the same ones, and when that was.
    verified: Option<(u64, Duration)>,
    /// What they are in this collection; see [`state`].
    state: Option<Option<u64>>,
}

impl Links {
    pub fn new(sys: &Path) -> Self {
        Links { interfaces: Interfaces::new(sys), verified: None, state: None }
    }

    /// Begins a collection.
    pub fn begin(&mut self) {
        self.state = None;
    }

    /// Returns how many received packets nothing wanted, if the interfaces were listed in this collection.
    pub fn unwanted(&self, name: &str) -> Option<u64> {
        self.state??;
        self.interfaces.all.iter().find(|it| it.name() == name)?.unwanted
    }
}

/// Returns a number that is another one when a file of an interface in sysfs may say something else than before; `None` if that is not
/// known, as where sysfs is that of another network namespace.
pub fn state(reader: &mut Reader) -> Option<u64> {
    let mut links = reader.links.take()?;
    let state = match links.state {
        Some(state) => state,
        None => look(&mut links, reader),
    };
    links.state = Some(state);
    reader.links = Some(links);
    state
}

fn look(links: &mut Links, reader: &mut Reader) -> Option<u64> {
    let Links { interfaces, verified, .. } = links;
    let now = (reader.machine.since_boot)();
    let listed = interfaces.list(reader.buffer())?;
    let is_verified = |(of, at): (u64, Duration)| of == listed && now.saturating_sub(at) < KEEP;
    if !verified.is_some_and(is_verified) {
        *verified = agrees(interfaces, reader).then_some((listed, now));
    }
    let (_, at) = (*verified)?;
    let mut state = listed ^ at.as_nanos() as u64;
    // What rtnetlink does not say and may change.
    for interface in &interfaces.all {
        let files = ["addr_assign_type", "name_assign_type", "speed", "duplex"];
        let has_speed = interface.flags & (UP | LOOPBACK) == UP;
        for file in &files[..if has_speed { 4 } else { 2 }] {
            let text = reader.text(&["sys/class/net", "/", interface.name(), "/", file]);
            state = key(text.unwrap_or_default(), state as usize);
        }
    }
    Some(state)
}

/// Returns whether sysfs has the same interfaces as rtnetlink, by their numbers and addresses. Each may be that of another network
/// namespace, and each of these has a loopback interface that looks the same.
fn agrees(interfaces: &Interfaces, reader: &mut Reader) -> bool {
    let all = &interfaces.all;
    if all.len() > INTERFACES_MAX || all.iter().all(|it| it.flags & LOOPBACK != 0) {
        return false;
    }
    let names = reader.names(&["sys/class/net"], &|_| true);
    let mut found = 0;
    for name in names.lines() {
        let Some(index) = reader.text(&["sys/class/net", "/", name, "/", "ifindex"]) else { continue };
        let index = uint(index.trim_ascii());
        let address = reader.text(&["sys/class/net", "/", name, "/", "address"]).unwrap_or_default().trim_ascii();
        let is_it = all.iter().any(|it| it.name() == name && Some(it.index) == index && it.has_address(address));
        found = if is_it { found + 1 } else { usize::MAX / 2 };
    }
    reader.give(names);
    found == all.len()
}
