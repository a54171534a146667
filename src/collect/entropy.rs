//! `/proc/sys/kernel/random`: how much randomness the kernel has gathered. From Linux 5.18 on it is always 256 bits, once the
//! machine has started.
//! <https://docs.kernel.org/admin-guide/sysctl/kernel.html#random>

use super::Registration;
use super::counters::{Layout, Plan};
use crate::model::{Family, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static ENTROPY: Table<0, 1> = Table::new(
    Place::Inline,
    &[],
    &[Family::gauge("pi_entropy_available", "Randomness that the kernel has gathered, in bits.", Unit::Count)],
);

static PLAN: Plan = Plan {
    files: &[("sys/kernel/random/entropy_avail", Layout::Plain(0, 1))],
    rows: &[(ENTROPY.head(), &[])],
    ..Plan::NONE
};

pub static COLLECTOR: Registration = Registration {
    name: "entropy",
    summary: prose("randomness that the kernel has gathered"),
    source: reference("/proc/sys/kernel/random/entropy_avail"),
    needs: Needs::reading("proc/sys/kernel/random/entropy_avail"),
    tables: &[ENTROPY.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};
