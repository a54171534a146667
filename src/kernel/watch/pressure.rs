//! `/proc/pressure`: stalls of a second or two, which a rule that waits longer never sees.
//! <https://docs.kernel.org/accounting/psi.html#monitoring-for-pressure-thresholds>

use super::{Next, Out, Source};
use crate::model::{Severity, kinds};
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is reported as a stall.
#[derive(Debug)]
pub struct Resource {
    pub name: &'static str,
    /// What the kernel is asked for: microseconds in which some process waited, of a window. A window that is not a multiple of
    /// 2 s takes CAP_SYS_RESOURCE (`psi_write` in `kernel/sched/psi.c`), and so does any window before Linux 6.4. The kernel
    /// overwrites the last byte.
    trigger: &'static str,
    title: &'static str,
    detail: &'static str,
}

/// The resources and their limits.
pub static ALL: [&Resource; 3] = [
    &Resource {
        name: "cpu",
        trigger: "some 1800000 2000000\0",
        title: "Processes waited for a CPU",
        detail: "some for at least 1.8 s of 2 s",
    },
    &Resource {
        name: "memory",
        trigger: "some 300000 2000000\0",
        title: "Processes waited for memory",
        detail: "some for at least 0.3 s of 2 s",
    },
    &Resource {
        name: "io",
        trigger: "some 1200000 2000000\0",
        title: "Processes waited for a disk",
        detail: "some for at least 1.2 s of 2 s",
    },
];

/// Returns whether the files at `proc` are the kernel's: a copy must not be written to.
pub fn is_real(proc: &Path) -> bool {
    sys::is_procfs(proc)
}

struct Pressure {
    file: File,
    resource: &'static Resource,
}

/// Asks the kernel to report stalls of a resource.
pub fn open(proc: &Path, resource: &'static Resource) -> io::Result<Box<dyn Source>> {
    let path = proc.join("pressure").join(resource.name);
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // A program may have put a file of its own in the kernel's place, as lxcfs does.
    if !sys::is_made_by_kernel(&file) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    file.write_all(resource.trigger.as_bytes())?;
    Ok(Box::new(Pressure { file, resource }))
}

impl Source for Pressure {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn is_exceptional(&self) -> bool {
        true
    }

    fn read(&mut self, _buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        let Resource { title, detail, .. } = self.resource;
        out.note(&kinds::STALL, Severity::Info, format_args!("{title}"), format_args!("{detail}"), "");
        Next::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flow;
    use super::super::flow::testing::notes;
    use super::*;

    /// The windows are those that an ordinary user may ask for, and the kernel finds its end of text.
    #[test]
    fn triggers_are_well_formed() {
        for Resource { name, trigger, .. } in ALL {
            let words: Vec<_> = trigger.strip_suffix('\0').unwrap().split(' ').collect();
            let (stalled, window): (u32, u32) = (words[1].parse().unwrap(), words[2].parse().unwrap());
            assert!(words[0] == "some" && stalled < window && window % 2_000_000 == 0, "{name}");
        }
    }

    #[test]
    fn a_stall_is_reported() {
        let mut io = Pressure { file: File::open("/dev/null").unwrap(), resource: ALL[2] };
        let seen = notes(&mut Flow::default(), 9, |out| assert_eq!(io.read(&mut [], out), Next::Wait));
        assert_eq!(seen, ["stall info: Processes waited for a disk | some for at least 1.2 s of 2 s"]);
    }

    #[test]
    fn a_copy_of_the_files_is_not_written_to() {
        let directory = std::env::temp_dir().join(format!("pi-monitor-pressure-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("pressure")).unwrap();
        let file = directory.join("pressure/io");
        std::fs::write(&file, "some avg10=0.00").unwrap();
        assert!(!is_real(&directory) && is_real(Path::new("/proc")));
        assert!(open(&directory, ALL[2]).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "some avg10=0.00");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
