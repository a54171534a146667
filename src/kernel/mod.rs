//! Reading the machine: files that are kept open, devices, mounts, the firmware's mailbox, what may hang, and what wakes the agent
//! when something happens. This is the only room that opens kernel files.

mod absence;
mod asker;
pub mod block;
pub mod cgroups;
mod devices;
pub mod engines;
mod fault;
mod foreign;
pub mod interfaces;
mod kept;
mod links;
mod machine;
pub mod mailbox;
pub mod mounts;
pub mod netlink;
pub mod nl80211;
pub mod packages;
mod remote;
pub mod roots;
mod source;
pub mod text;
pub mod watch;
pub mod zone;

#[cfg(test)]
pub(crate) use absence::let_absence_end;
pub use asker::{Answer, Asker};
pub use cgroups::Cgroups;
pub use devices::{Device, Devices, Heard};
pub use fault::{Bad, Fault, First, Members};
pub use foreign::{Stamp, read_foreign};
pub use kept::{Copies, Kept, read_whole};
pub use links::{LinkState, Links};
pub use machine::Machine;
pub use remote::{RemoteStat, answer, encode};
pub use roots::{Roots, real_path};
pub use source::{
    Shared, Source, each_name, inode, is_file, leads_to, read_all, read_into, read_once, read_record, try_open, used,
};
pub use zone::{Zone, zone_name};
