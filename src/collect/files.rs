//! `/proc/sys/fs/file-nr`: open files of all processes together.
//! <https://docs.kernel.org/admin-guide/sysctl/fs.html#file-max-file-nr>

use super::Registration;
use super::counters::{Layout, Plan};
use crate::model::{Family, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

pub static FILES: Table<0, 2> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_files_open", "Open files, sockets and pipes of all processes.", Unit::Count),
        Family::gauge(
            "pi_files_max",
            "Files that can be open at once; systemd sets the largest number there is.",
            Unit::Count,
        ),
    ],
);

static PLAN: Plan = Plan {
    // The number between them has had no meaning since Linux 2.6.
    files: &[("sys/fs/file-nr", Layout::Plain(0, 2))],
    rows: &[(FILES.head(), &[])],
    ..Plan::NONE
};

pub static COLLECTOR: Registration = Registration {
    name: "files",
    summary: prose("open files of all processes"),
    source: reference("/proc/sys/fs/file-nr"),
    needs: Needs::reading("proc/sys/fs/file-nr"),
    tables: &[FILES.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};
