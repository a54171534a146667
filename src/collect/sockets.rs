//! `/proc/net/sockstat` and `/proc/net/sockstat6`: sockets in use, and the memory of their buffers.
//! <https://man7.org/linux/man-pages/man5/proc_net.5.html>
//!
//! Those of the network namespace that the agent runs in; memory and the number of all sockets are the machine's.

use super::Registration;
use super::counters::{Layout, Plan};
use crate::model::{Family, More, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static SOCKETS: Table<0, 12> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_sockets_used", "Open sockets of all kinds.", Unit::Count),
        Family::gauge("pi_sockets_in_use", "Sockets in use, by protocol.", Unit::Count)
            .more(&More::NONE.by("protocol", &["tcp", "udp", "raw", "tcp6", "udp6", "raw6"])),
        Family::gauge("pi_sockets_tcp", "TCP sockets in other states.", Unit::Count)
            .more(&More::NONE.by("state", &["orphan", "time_wait", "allocated"])),
        Family::gauge("pi_sockets_memory_bytes", "Memory of the sockets' buffers.", Unit::Bytes)
            .more(&More::NONE.by("protocol", &["tcp", "udp"])),
    ],
);

static PLAN: Plan = Plan {
    files: &[("net/sockstat", Layout::Pairs), ("net/sockstat6", Layout::Pairs)],
    names: "socketsused TCPinuse UDPinuse RAWinuse TCP6inuse UDP6inuse RAW6inuse TCPorphan TCPtw TCPalloc TCPmem \
            UDPmem",
    pages: &[10, 11],
    rows: &[(SOCKETS.head(), &[])],
};

pub static COLLECTOR: Registration = Registration {
    name: "sockets",
    summary: prose("sockets in use and the memory of their buffers"),
    source: reference("/proc/net/sockstat, /proc/net/sockstat6"),
    needs: Needs::reading("proc/net/sockstat proc/net/sockstat6"),
    tables: &[SOCKETS.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    PLAN.fuzz(text);
}
