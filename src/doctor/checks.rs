//! The checks: what each looks at, and what it says.

use super::{Check, ELSEWHERE, Look, Seen, join, number_of, take_line};
use crate::collect::disk::FILESYSTEMS;
use crate::collect::power::{REASON_NAMES, THROTTLING};
use crate::judge::words::{Ahead, Size};
use crate::kernel::nl80211::{COUNTRY, POWER_SAVE};
use crate::kernel::text::{find, hex, uint, unescape_octal, words};
use crate::kernel::{inode, is_file, leads_to, try_open, used};
use crate::model::{Input, Row, Severity};
use std::fmt::Write as _;

static SINCE_BOOT: Input = THROTTLING.input("pi_throttled_since_boot");
static READ_ONLY: Input = FILESYSTEMS.input("pi_disk_read_only");

/// In the order of `checks.txt`, which has their texts.
pub static ALL: &[Check] = &[
    check(Severity::Warning, false, throttled_since_boot),
    check(Severity::Warning, false, usb_power),
    check(Severity::Warning, false, usb_over_current),
    check(Severity::Warning, false, filesystem_errors),
    check(Severity::Warning, false, emmc_wear),
    check(Severity::Warning, false, swap_on_card),
    check(Severity::Info, true, logs),
    check(Severity::Warning, false, clock),
    check(Severity::Info, true, wifi_power_save),
    check(Severity::Warning, true, wifi_country),
    check(Severity::Info, false, psi),
    check(Severity::Info, false, memory_accounting),
    check(Severity::Info, true, reboot_pending),
    check(Severity::Info, false, second_agent),
    check(Severity::Info, false, process_io),
    check(Severity::Info, false, kernel_log),
];

const fn check(severity: Severity, waits: bool, look: fn(&mut Look<'_>) -> Seen) -> Check {
    Check { severity, waits, look }
}

/// What the firmware, or the agent since it runs, remembers.
fn throttled_since_boot(look: &mut Look<'_>) -> Seen {
    let snapshot = look.snapshot;
    let place = snapshot.locate(SINCE_BOOT.head);
    let Some(row) = place.and_then(|(part, section)| snapshot.parts()[part].sections[section].rows().next()) else {
        // Any other machine has no such firmware.
        look.read("proc/device-tree/model", "")?;
        if look.text.starts_with(b"Raspberry Pi") {
            try_open(look.at("/dev/vcio", "")).map_err(number_of)?;
        }
        return Ok(());
    };
    for (column, reason) in (SINCE_BOOT.column..).zip(&REASON_NAMES) {
        if row.values()[column].to_f64() == Some(1.0) {
            look.say("", format_args!("{reason}"));
        }
    }
    Ok(())
}

/// What a Pi 5's supply offers, in mA.
fn usb_power(look: &mut Look<'_>) -> Seen {
    const ENOUGH: u32 = 5000;
    let offered = look.power("max_current")?;
    // 0 is a supply that was not asked, as one at the pins.
    if (1..ENOUGH).contains(&offered) && look.power("usb_max_current_enable")? == 0 {
        look.say("", format_args!("it offers {offered} mA of {ENOUGH}"));
    }
    Ok(())
}

/// `over_current_count` of each port of each hub.
fn usb_over_current(look: &mut Look<'_>) -> Seen {
    if look.power("usb_over_current_detected").is_ok_and(|seen| seen != 0) {
        look.say("", format_args!("when the machine booted"));
    }
    look.each("sys/bus/usb/devices", |look, path, name| {
        // Hubs are interfaces, such as `1-0:1.0`.
        if name.ends_with(":1.0") {
            // It may have been unplugged just now.
            let _ = look.each(path, port);
        }
        Ok(())
    })
}

fn port(look: &mut Look<'_>, path: &str, name: &str) -> Seen {
    let count = look.number(path, "/over_current_count").unwrap_or(0);
    if count > 0 {
        look.say("", format_args!("{name}: {count} times since boot"));
    }
    Ok(())
}

/// What ext4 has counted in the superblock, until e2fsck clears it.
fn filesystem_errors(look: &mut Look<'_>) -> Seen {
    look.each("sys/fs/ext4", |look, path, device| {
        const DAY: f64 = 86_400.0;
        // There are others beside the devices, such as `features`.
        let count = look.number(path, "/errors_count").unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        look.say(device, format_args!("{count} on {device}"));
        for (file, word) in [("/first_error_time", "first"), ("/last_error_time", "last")] {
            let at = look.number(path, file).unwrap_or(0);
            let now = (look.machine.unix_time)().as_secs();
            if (1..=now).contains(&at) {
                look.say("", format_args!("the {word} {} ago", Ahead((now - at) as f64 / DAY)));
            }
        }
        Ok(())
    })
}

/// An eMMC's used life (`0x02 0x01`, in tenths, 11 beyond it) and the state of its spare blocks (1 normal, 2 80% used, 3 90% used). 0 is
/// not known. Cheap ones say nonsense in one of the two, so both have to be bad where both are known, unless one is at its end.
/// <https://docs.kernel.org/driver-api/mmc/mmc-dev-attrs.html>
fn emmc_wear(look: &mut Look<'_>) -> Seen {
    look.each("sys/class/block", |look, path, device| {
        // `mmcblk0` has both, `mmcblk0boot0` the same once more.
        if device.strip_prefix("mmcblk").and_then(|number| uint(number.as_bytes())).is_none() {
            return Ok(());
        }
        let (life, spares) = (steps(look, path, "/device/life_time", 11), steps(look, path, "/device/pre_eol_info", 3));
        let is_worn = life > 10 || spares > 2 || (life == 10 && spares != 1) || (spares == 2 && life == 0);
        if is_worn {
            look.say(device, format_args!("{device}: "));
            if life > 10 {
                look.detail.push_str("beyond its life");
            } else if life > 0 {
                let _ = write!(look.detail, "{}% of its life used", life * 10);
            }
            if spares > 1 {
                let comma = if life > 0 { ", " } else { "" };
                let _ = write!(look.detail, "{comma}{}0% of the spare blocks used", spares + 6);
            }
        }
        Ok(())
    })
}

/// Returns the highest of the numbers in a file, of those up to `highest`: the standard (JESD84) knows no others. 0 if there is none.
fn steps(look: &mut Look<'_>, path: &str, file: &str, highest: u64) -> u64 {
    let mut most = 0;
    if look.read(path, file).is_ok() {
        for word in words(&look.text) {
            let number = word.strip_prefix(b"0x").and_then(hex).unwrap_or(0);
            most = if number > highest { most } else { number.max(most) };
        }
    }
    most
}

/// `/var/swap file 102396 40960 -2`: the file's or the device's name, its kind, its size and what is used of it in KiB, its priority.
fn swap_on_card(look: &mut Look<'_>) -> Seen {
    look.read("proc/swaps", "")?;
    let text = String::from_utf8_lossy(&look.text).into_owned();
    let mut rest = &*text;
    while !rest.is_empty() {
        let line = take_line(&mut rest);
        let mut place = Vec::new();
        unescape_octal(word(line, 0).as_bytes(), &mut place);
        let place = std::str::from_utf8(&place).unwrap_or_default();
        let device = if word(line, 1) == "file" { device_of(look, place) } else { place };
        // `mmcblk0p2` is a part of `mmcblk0`, which may be an eMMC too.
        let Some(partition) = device.strip_prefix("/dev/mmcblk") else { continue };
        let disk = &partition[..find(b'p', partition.as_bytes()).unwrap_or(partition.len())];
        let is_card = look.read("sys/block/mmcblk", &join(disk, "/device/type")).is_err();
        if is_card || !look.text.starts_with(b"MMC") {
            let size = Size(uint(word(line, 2).as_bytes()).unwrap_or(0) as f64 * 1024.0);
            look.say(place, format_args!("{place} on mmcblk{disk}, {size}"));
        }
    }
    Ok(())
}

/// The word at a place of a line; empty if there is none.
#[inline(never)]
fn word(line: &str, place: usize) -> &str {
    let word = words(line.as_bytes()).nth(place).unwrap_or_default();
    std::str::from_utf8(word).unwrap_or_default()
}

/// The device of the filesystem that a file is in: the one whose mount point is the longest beginning of its path.
fn device_of<'a>(look: &Look<'a>, file: &str) -> &'a str {
    let snapshot = look.snapshot;
    let (mut device, mut longest) = ("", 0);
    let Some((part, section)) = snapshot.locate(READ_ONLY.head) else { return device };
    for row in snapshot.parts()[part].sections[section].rows() {
        let (of, mountpoint) = (label(row, 0), label(row, 1));
        let is_below = file.strip_prefix(mountpoint).is_some_and(|rest| mountpoint == "/" || rest.starts_with('/'));
        if is_below && mountpoint.len() > longest {
            (device, longest) = (of, mountpoint.len());
        }
    }
    device
}

#[inline(never)]
fn label(row: Row<'_>, place: usize) -> &str {
    row.labels().nth(place).unwrap_or("")
}

/// What is in `/var/log`, and in the journals below it. No other directory is entered.
fn logs(look: &mut Look<'_>) -> Seen {
    look.each("root/var/log", |look, path, _| {
        look.counts[0] += used(look.at(path, "")).unwrap_or(0);
        Ok(())
    })?;
    let journals = look.each("root/var/log/journal", |look, path, _| {
        look.each(path, |look, path, _| {
            look.counts[1] += used(look.at(path, "")).unwrap_or(0);
            Ok(())
        })
    });
    let [files, journal] = look.counts;
    if files + journal >= look.logs_max {
        let (files, journal) = (Size(files as f64), Size(journal as f64));
        look.say("", format_args!("the journal takes {journal}, other files in /var/log {files}"));
    }
    journals
}

fn clock(look: &mut Look<'_>) -> Seen {
    look.at("adjtimex", "");
    if !look.is_here {
        return Err(ELSEWHERE);
    }
    if !(look.machine.clock_state)().ok_or(libc::EPERM)?.synchronized {
        look.say("", format_args!("no time service has set it since boot"));
    }
    Ok(())
}

/// Whether an interface has a radio.
fn is_radio(look: &mut Look<'_>, path: &str) -> bool {
    inode(look.at(path, "/phy80211")).is_ok()
}

fn wifi_power_save(look: &mut Look<'_>) -> Seen {
    look.each("sys/class/net", |look, path, name| {
        if is_radio(look, path) {
            let number = look.number(path, "/ifindex")?;
            if look.ask(POWER_SAVE, number as u32)? == 1_u32.to_ne_bytes() {
                look.say(name, format_args!("{name}"));
            }
        }
        Ok(())
    })
}

/// `00` is the world's domain, which allows what is allowed everywhere.
fn wifi_country(look: &mut Look<'_>) -> Seen {
    look.each("sys/class/net", |look, path, _| {
        look.counts[0] += u64::from(is_radio(look, path));
        Ok(())
    })?;
    if look.counts[0] == 0 {
        return Ok(());
    }
    // What the kernel's command line says, where raspi-config writes it. wpa_supplicant tells only the kernel.
    let is_open = look.read("sys/module/cfg80211/parameters/ieee80211_regdom", "").is_err() || look.has("00");
    if is_open && look.ask(COUNTRY, 0)?.starts_with(b"00") {
        look.say("", format_args!("the regulatory domain is 00, that of the world"));
    }
    Ok(())
}

/// Kernels before 6.1 have the files even without pressure, and refuse to read them.
fn psi(look: &mut Look<'_>) -> Seen {
    match look.read("proc/pressure/cpu", "") {
        Err(libc::ENOENT | libc::EOPNOTSUPP) => {
            look.read("proc/cmdline", "")?;
            // A kernel that was built without it does not listen.
            if !look.has("psi=1") {
                look.say("", format_args!("psi=1 is not on its command line"));
            }
            Ok(())
        }
        seen => seen,
    }
}

/// The firmware of a Raspberry Pi puts `cgroup_disable=memory` on the command line.
fn memory_accounting(look: &mut Look<'_>) -> Seen {
    look.read("proc/cmdline", "")?;
    let is_off = look.has("cgroup_disable=memory") && !look.has("cgroup_enable=memory");
    let is_unified = look.read("sys/fs/cgroup/cgroup.controllers", "").is_ok();
    // A container may have been given some controllers only.
    if if is_unified { !look.has("memory") && (is_off || look.has("cpuset")) } else { is_off } {
        look.say("", format_args!("the controller memory is switched off"));
    }
    Ok(())
}

/// Debian says so in a file; else the modules of a newer kernel of the same kind are there.
fn reboot_pending(look: &mut Look<'_>) -> Seen {
    if is_file(look.at("root/run/reboot-required", "")) {
        look.say("", format_args!("/run/reboot-required is there"));
    }
    look.read("proc/sys/kernel/osrelease", "")?;
    look.newest = String::from_utf8_lossy(look.text.trim_ascii()).into_owned();
    look.each("root/lib/modules", |look, path, release| {
        // What a package leaves behind is no kernel.
        if is_newer(release, &look.newest) && is_file(look.at(path, "/modules.builtin")) {
            look.newest.clear();
            look.newest.push_str(release);
            look.counts[0] = 1;
        }
        Ok(())
    })?;
    if look.counts[0] > 0 {
        let newest = std::mem::take(&mut look.newest);
        look.say("", format_args!("{newest} is installed, an older kernel runs"));
    }
    Ok(())
}

/// Whether a kernel's release is a later one of the same kind: the numbers that it begins with are higher, and the rest is the same,
/// such as `rpt-rpi-v8` in `6.12.47+rpt-rpi-v8`.
pub fn is_newer(release: &str, than: &str) -> bool {
    let (mut one, mut other) = (release.as_bytes(), than.as_bytes());
    let (mut higher, mut lower) = (false, false);
    loop {
        let (mine, theirs) = (take_number(&mut one), take_number(&mut other));
        let is_open = !higher && !lower;
        higher |= is_open && mine > theirs;
        lower |= is_open && mine < theirs;
        if mine.is_none() && theirs.is_none() {
            return higher && one == other;
        }
    }
}

/// Takes a number off the front of a release, and the sign behind it.
fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, behind) = rest.split_at(end);
    let number = uint(digits)?;
    *rest = match behind {
        [b'.' | b'-' | b'+', behind @ ..] => behind,
        _ => behind,
    };
    Some(number)
}

/// Agents by the names of their processes, of which the kernel keeps 15 letters.
static AGENTS: [&str; 3] = ["pi-monitor", "node_exporter", "prometheus-node"];

/// The agent that a process is.
fn agent(look: &mut Look<'_>, path: &str) -> Option<&'static str> {
    // It may have ended.
    look.read(path, "/comm").ok()?;
    AGENTS.into_iter().find(|agent| look.has(agent))
}

/// `1203 (pi-monitor) S 1 …`: number, name, state, parent; the 22nd is when it began, in hundredths of a second since boot.
fn second_agent(look: &mut Look<'_>) -> Seen {
    /// A command such as `health` or this one is done by then, in seconds.
    const SHORT: u64 = 10;
    look.each("proc", |look, path, name| {
        let is_process = name.as_bytes()[0].is_ascii_digit();
        let Some(agent) = (if is_process { self::agent(look, path) } else { None }) else { return Ok(()) };
        let _ = look.read(path, "/stat");
        let text = std::str::from_utf8(&look.text).unwrap_or_default();
        let parent = join("proc/", word(text, 3));
        let began = uint(word(text, 21).as_bytes()).unwrap_or(0) / 100;
        // Helpers of an agent are not agents.
        if began + SHORT <= (look.machine.since_boot)().as_secs() && self::agent(look, &parent).is_none() {
            look.counts[0] += 1;
            // The fix names the first one: another than the one that looks.
            if leads_to(look.at("proc/self", ""), name) {
                look.counts[1] = uint(name.as_bytes()).unwrap_or(0);
            } else {
                look.say(name, format_args!("{agent} is process {name}"));
            }
        }
        Ok(())
    })?;
    let [agents, this] = look.counts;
    if this > 0 {
        look.say("", format_args!("this one is process {this}"));
    }
    if agents < 2 {
        look.detail.clear();
    }
    Ok(())
}

/// Other users' processes may be looked at by root alone, or with CAP_SYS_PTRACE.
fn process_io(look: &mut Look<'_>) -> Seen {
    look.read("proc/1/io", "")
}

/// A running agent has it open since before it confined itself.
fn kernel_log(look: &mut Look<'_>) -> Seen {
    const LOG: &str = "/dev/kmsg";
    if !look.is_here {
        return Ok(());
    }
    look.each("proc/self/fd", |look, path, _| {
        look.counts[0] += u64::from(leads_to(look.at(path, ""), LOG));
        Ok(())
    })?;
    if look.counts[0] > 0 { Ok(()) } else { try_open(look.at(LOG, "")).map_err(number_of) }
}
