//! `/proc/sys/net/netfilter`: connections that the firewall tracks. Present while a rule of the firewall needs it.
//! <https://docs.kernel.org/networking/nf_conntrack-sysctl.html>

use super::Registration;
use super::counters::{Layout, Plan};
use crate::model::{Family, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

pub static CONNTRACK: Table<0, 2> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_conntrack_entries", "Connections that the firewall tracks.", Unit::Count),
        Family::gauge(
            "pi_conntrack_entries_max",
            "Connections that the firewall can track; packets of new ones are dropped beyond that.",
            Unit::Count,
        ),
    ],
);

static PLAN: Plan = Plan {
    files: &[
        ("sys/net/netfilter/nf_conntrack_count", Layout::Plain(0, 1)),
        ("sys/net/netfilter/nf_conntrack_max", Layout::Plain(1, 1)),
    ],
    rows: &[(CONNTRACK.head(), &[])],
    ..Plan::NONE
};

pub static COLLECTOR: Registration = Registration {
    name: "conntrack",
    summary: prose("connections that the firewall tracks"),
    source: reference("/proc/sys/net/netfilter"),
    needs: Needs::reading("proc/sys/net/netfilter"),
    tables: &[CONNTRACK.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};
