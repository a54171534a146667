//! `/dev/kmsg`: what the kernel itself logs about disks, filesystems, USB, the power supply and memory that runs out.
//! <https://docs.kernel.org/core-api/printk-basics.html>, `Documentation/ABI/testing/dev-kmsg`
//!
//! A read returns one record: `6,339,5140900,-;NET: Registered PF_INET6 protocol family`, then lines that begin with a blank.
//! The first number is the level and eight times the facility. What programs write gets a facility of theirs
//! (`devkmsg_write` in `kernel/printk/printk.c`), so only the kernel's own lines have facility 0.

use super::flow::Short;
use super::{AT_ONCE, Next, Out, Source};
use crate::kernel::text::uint;
use crate::model::{EventKind, Severity, kinds};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// What is looked for, one pattern each line, the first that fits counts:
///
/// - the kind (letters as in [`kind`]; r: what follows from a filesystem's error), the severity (critical, warning, info), the highest
///   level (7: any),
/// - how the line begins, or nothing,
/// - what stands in it,
/// - what the thing's name follows, or nothing if the line begins with it,
/// - the title, in which `{}` is the name.
///
/// The beginnings keep texts out that others choose: a USB device's product, a process's name.
const PATTERNS: &str = "\
--7||operation not supported error, dev ||
--7|usb |: Product: ||
--7|usb |: Manufacturer: ||
--7|usb |: SerialNumber: ||
sc7||error, dev |dev |{} reported an I/O error
sc7|Buffer I/O error on dev |, lost async page write|on dev |Data for {} could not be written
sw7|mmc|: Timeout waiting for hardware||{} did not answer in time
sw7|mmc|: error -||{} reported an error
sw7|mmc| never completed||{} does not answer
sw7|mmc|: running CQE recovery||{} had to recover from an error
sw7|mmc|: Card stuck ||{} is stuck
sw7|nvme | timeout, |nvme |{} did not answer in time
sc7|nvme |controller is down|nvme |{} stopped working
sw7|ata|: failed command||{} reported a failed command
sc7|sd |evice offlined|sd |SCSI disk {} was switched off after errors
sw7|sd |uas_eh_abort_handler|[|{} did not answer over USB
sc7|md/|Disk failure on |failure on |{} failed and was taken out of its RAID
rc7|EXT4-fs (|emounting filesystem read-only|(|The filesystem on {} was made read-only after an error
fc7|EXT4-fs error|(device |(device |The filesystem on {} has an error
fw7|EXT4-fs (|mounting fs with errors|(|The filesystem on {} needs a check
rc7|BTRFS|forced readonly|(device |The filesystem on {} was made read-only after an error
fc3|BTRFS|(device |(device |The filesystem on {} has an error
fw4|BTRFS warning|csum failed|(device |Data on {} does not match its checksum
rc7|FAT-fs (|set read-only|(|The filesystem on {} was made read-only after an error
fc7|FAT-fs (|: error, |(|The filesystem on {} has an error
fw7|FAT-fs (|not properly unmounted|(|{} was not unmounted properly
fc7|exFAT-fs (|: error, |(|The filesystem on {} has an error
fw7|exFAT-fs (|not properly unmounted|(|{} was not unmounted properly
fc3|XFS (||(|The filesystem on {} has an error
fc3|F2FS-fs (||(|The filesystem on {} has an error
fw7|SQUASHFS error:|||A squashfs image has an error
uw7|usb | over-current |usb |Over-current at USB port {}
uw7|hub |: over-current |hub |Over-current at USB hub {}
uw7|usb |: device descriptor read/|usb |USB device {} does not answer
uw7|usb |: device not accepting address |usb |USB device {} does not answer
uw7|usb |: device not responding to setup|usb |USB device {} does not answer
uw7|usb |: unable to enumerate USB device|usb |The USB device at {} could not be recognized
uw7|usb |: Cannot enable. Maybe the USB cable is bad|usb |USB port {} could not be switched on
ui7|usb |: reset |usb |USB device {} was reset
uc7|xhci|HC died|xhci_hcd |USB controller {} stopped working
vw7|Under-voltage detected!|||Under-voltage
vw7|hwmon |Undervoltage detected!||Under-voltage
vi7|Voltage normalised|||The supply voltage is back to normal
vi7|hwmon |Voltage normalised||The supply voltage is back to normal
pc7|thermal |critical temperature reached||The machine shuts down because it is too hot
tw7|INFO: task |blocked for more than |task |A process was blocked for minutes
kc7|Kernel panic - |||The kernel panicked
kc7|Internal error: |||The kernel hit a bug
kc7|Oops|||The kernel hit a bug
kc7|BUG: |||The kernel hit a bug
kc7|kernel BUG at |||The kernel hit a bug
kc7|watchdog: BUG: |||A CPU hung in the kernel
kw7|rcu: INFO: rcu_|detected stall||A CPU hung in the kernel
kw7|WARNING: CPU: |||The kernel reported a bug
";

fn kind(letter: u8) -> Option<&'static EventKind> {
    Some(match letter {
        b's' => &kinds::STORAGE_ERROR,
        b'f' | b'r' => &kinds::FILESYSTEM_ERROR,
        b'u' => &kinds::USB_ERROR,
        b'p' => &kinds::POWER_ERROR,
        b'v' => &kinds::POWER,
        b't' => &kinds::STALL,
        b'k' => &kinds::KERNEL_ERROR,
        _ => return None,
    })
}

fn severity(letter: u8) -> Severity {
    match letter {
        b'c' => Severity::Critical,
        b'w' => Severity::Warning,
        _ => Severity::Info,
    }
}

struct Log {
    file: File,
    /// The control group whose limit the kernel named last, until it names who was killed.
    limit: Short,
}

/// Opens the log at its end: what was logged before is not new.
pub fn open() -> io::Result<Box<dyn Source>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    file.seek(SeekFrom::End(0))?;
    Ok(Box::new(Log { file, limit: Short::new() }))
}

impl Source for Log {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn read(&mut self, buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        for _ in 0..AT_ONCE {
            match self.file.read(buffer) {
                Ok(0) => return Next::End,
                Ok(length) => record(&buffer[..length], &mut self.limit, out),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Next::Wait,
                    Some(libc::EPIPE) => out.note(
                        &kinds::LOST,
                        Severity::Info,
                        format_args!("Kernel messages were overwritten before they could be read"),
                        format_args!(""),
                        "",
                    ),
                    // Interrupted, or a record that is longer than the kernel's own limit: it is gone.
                    Some(libc::EINTR | libc::EINVAL) => {}
                    _ => return Next::End,
                },
            }
        }
        Next::Rest
    }
}

/// Takes note of one record, if it is the kernel's own and one that is looked for.
fn record(record: &[u8], limit: &mut Short, out: &mut Out<'_>) {
    /// As much of a line as is quoted.
    const QUOTED: usize = 200;
    let Some(line) = record.split(|&byte| byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok()) else {
        return;
    };
    let Some((head, text)) = around(line, ";") else { return };
    let Some(level) = around(head, ",").and_then(|(number, _)| uint(number.as_bytes())).filter(|it| *it < 8) else {
        return;
    };
    if killed(text, limit, out) {
        return;
    }
    let mut patterns = PATTERNS;
    while let Some((pattern, rest)) = around(patterns, "\n") {
        patterns = rest;
        let mut parts = [pattern; 5];
        for place in 1..parts.len() {
            let Some((part, rest)) = around(parts[place - 1], "|") else { return };
            parts[place - 1] = part;
            parts[place] = rest;
        }
        let [first, start, within, before, title] = parts;
        let [letter, urgency, most] = *first.as_bytes() else { return };
        if level > u64::from(most - b'0') || !text.starts_with(start) || around(text, within).is_none() {
            continue;
        }
        let Some(kind) = kind(letter) else { return };
        // Some lines quote the process that ran into it.
        let quoted = out.processes || !(around(text, "comm ").is_some() || letter == b't' || letter == b'k');
        let mut end = if quoted { text.len().min(QUOTED) } else { 0 };
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (name, front, back) = match around(title, "{}") {
            Some((front, back)) => (name(text, before), front, back),
            None => ("", title, ""),
        };
        if letter == b'r' && out.knows(kind, name) {
            return;
        }
        out.note(kind, severity(urgency), format_args!("{front}{name}{back}"), format_args!("{}", &text[..end]), name);
        return;
    }
}

/// Returns what stands before and after the first `mark` in a text. The standard library's search is made for long texts, and
/// takes some kilobytes of code.
fn around<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at =
        (0..=text.len().checked_sub(mark.len())?).find(|&at| text.as_bytes()[at..].starts_with(mark.as_bytes()))?;
    text.get(..at).zip(text.get(at + mark.len()..))
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    around(text, mark).map(|(_, after)| after)
}

/// Returns the name that follows `before`.
fn name<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = after(text, before).unwrap_or_default();
    let end = rest.bytes().position(|byte| b" ,)]".contains(&byte)).unwrap_or(rest.len());
    let name = &rest[..end];
    name.strip_suffix(':').unwrap_or(name)
}

/// Takes note of a process that was killed for lack of memory; returns whether the line is about that.
///
/// Two lines say it, `dump_oom_victim` and `__oom_kill_process` in `mm/oom_kill.c`:
/// `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=python3,pid=12,uid=0`,
/// and `Memory cgroup out of memory: Killed process 12 (python3) total-vm:214256kB, anon-rss:9600kB, …`, or `Out of memory: …`.
fn killed(text: &str, limit: &mut Short, out: &mut Out<'_>) -> bool {
    if let Some(rest) = text.strip_prefix("oom-kill:constraint=") {
        limit.clear();
        if rest.starts_with("CONSTRAINT_MEMCG,") {
            let group = after(rest, ",oom_memcg=").and_then(|rest| around(rest, ",task_memcg="));
            let _ = limit.write_str(group.map_or("", |(group, _)| group));
        }
        return true;
    }
    let Some((why, rest)) = around(text, "Killed process ") else { return false };
    if !why.is_empty() && around(why, "ut of memory").is_none() {
        return false;
    }
    let Some((pid, mut sizes)) = around(rest, " (") else { return false };
    // The name may be anything, also what follows it here: that is the last one.
    let rest = sizes;
    while let Some(behind) = after(sizes, ") total-vm:") {
        sizes = behind;
    }
    let Some(name) = rest.get(..(rest.len() - sizes.len()).saturating_sub(") total-vm:".len())) else { return false };
    if name.is_empty() {
        return false;
    }
    let resident = ["anon-rss:", "file-rss:", "shmem-rss:"].map(|kind| {
        let size = after(sizes, kind).and_then(|rest| around(rest, "kB"));
        size.and_then(|(size, _)| uint(size.as_bytes())).unwrap_or(0)
    });
    let size = resident.iter().fold(0_u64, |sum, size| sum.saturating_add(*size)) / 1024;
    let of_group = why.starts_with("Memory cgroup");
    let group = if of_group { limit.text() } else { "" };
    let why = match (of_group, group) {
        (false, _) => "the machine ran out of memory",
        (true, "") => "it reached its memory limit",
        (true, _) => "reached the memory limit of ",
    };
    let (who, culprit) = if out.processes { (name, name) } else { ("A process", "") };
    out.note(
        &kinds::OOM_KILL,
        Severity::Critical,
        format_args!("{who} was killed for lack of memory"),
        format_args!("process {pid}, {size} MiB: {why}{group}"),
        culprit,
    );
    limit.clear();
    true
}

/// Runs the parser of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut out = Out {
        flow: &mut super::Flow::default(),
        now: std::time::Duration::ZERO,
        processes: true,
        clock_is_right: false,
        to: &mut |_| {},
    };
    record(text, &mut Short::new(), &mut out);
}

#[cfg(test)]
mod tests;
