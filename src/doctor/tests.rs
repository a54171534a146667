//! A healthy machine, and each fault planted into it.

use super::*;
use crate::agent::Agent;
use crate::commands;
use crate::kernel::nl80211::COUNTRY;
use crate::sys::{ClockState, FsStat};
use std::collections::BTreeSet;
use std::time::Duration;

/// A Pi 5 with Wi-Fi, a card, compressed swap, one agent, and kernels of two kinds, of which an older one is installed as well.
/// What a package left behind is no kernel, and a kernel of another kind is not newer.
const HEALTHY: &[(&str, &[u8])] = &[
    ("proc/stat", b"cpu  0 0 0 1000 0 0 0 0\ncpu0 0 0 0 1000 0 0 0 0\nbtime 1\n"),
    ("proc/meminfo", b"MemTotal: 1000 kB\nMemAvailable: 900 kB\n"),
    (
        "proc/self/mountinfo",
        b"25 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n26 25 8:1 / /mnt/ssd rw - ext4 /dev/sda1 rw\n",
    ),
    ("proc/cmdline", b"cgroup_disable=memory console=tty1 psi=1 cgroup_enable=memory rootwait\n"),
    ("proc/pressure/cpu", b"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
    (
        "proc/swaps",
        b"Filename Type Size Used Priority\n/dev/zram0 partition 2097136 184320 100\n/mnt/ssd/swap file 1024 0 -2\n",
    ),
    ("proc/sys/kernel/osrelease", b"6.12.47+rpt-rpi-v8\n"),
    ("proc/1/comm", b"systemd\n"),
    ("proc/1/stat", b"1 (systemd) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n"),
    ("proc/1/io", b"rchar: 1\n"),
    ("proc/703/comm", b"pi-monitor\n"),
    ("proc/703/stat", b"703 (pi-monitor) S 1 703 703 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 900 0 0\n"),
    // Its helper, and one that was just started.
    ("proc/704/comm", b"pi-monitor\n"),
    ("proc/704/stat", b"704 (pi-monitor) S 703 703 703 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 910 0 0\n"),
    ("proc/999/comm", b"pi-monitor\n"),
    ("proc/999/stat", b"999 (pi-monitor) R 1 999 999 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 9999900 0 0\n"),
    ("proc/device-tree/model", b"Raspberry Pi 5 Model B Rev 1.0\0"),
    ("proc/device-tree/chosen/power/max_current", b"\x00\x00\x13\x88"),
    ("proc/device-tree/chosen/power/usb_max_current_enable", b"\0\0\0\0"),
    ("proc/device-tree/chosen/power/usb_over_current_detected", b"\0\0\0\0"),
    ("sys/devices/platform/soc/soc:firmware/get_throttled", b"0\n"),
    ("sys/fs/ext4/mmcblk0p2/errors_count", b"0\n"),
    ("sys/fs/ext4/features/casefold", b"supported\n"),
    ("sys/fs/cgroup/cgroup.controllers", b"cpuset cpu io memory pids\n"),
    ("sys/block/mmcblk0/device/type", b"SD\n"),
    // An eMMC whose life is said to be over while all its spare blocks are there, one that wears, and its boot area.
    ("sys/class/block/mmcblk1/device/life_time", b"0x0a 0x01\n"),
    ("sys/class/block/mmcblk1/device/pre_eol_info", b"0x01\n"),
    ("sys/class/block/mmcblk2/device/life_time", b"0x09 0x01\n"),
    ("sys/class/block/mmcblk2/device/pre_eol_info", b"0x02\n"),
    ("sys/class/block/mmcblk1boot0/device/life_time", b"0x0b 0x0b\n"),
    ("sys/bus/usb/devices/1-0:1.0/usb1-port1/over_current_count", b"0\n"),
    ("sys/class/net/eth0/ifindex", b"2\n"),
    ("sys/class/net/wlan0/ifindex", b"3\n"),
    ("sys/class/net/wlan0/phy80211/index", b"0\n"),
    ("sys/module/cfg80211/parameters/ieee80211_regdom", b"00\n"),
    ("root/var/log/syslog", b"a line\n"),
    ("root/var/log/journal/0123/system.journal", b"a line\n"),
    ("root/lib/modules/6.12.47+rpt-rpi-v8/modules.builtin", b"\n"),
    ("root/lib/modules/6.12.20+rpt-rpi-v8/modules.builtin", b"\n"),
    ("root/lib/modules/6.12.99+rpt-rpi-2712/modules.builtin", b"\n"),
    ("root/lib/modules/6.13.1+rpt-rpi-v8/modules.dep", b"\n"),
];

/// Since boot, in seconds.
const NOW: u64 = 100_000;
/// In seconds since 1970.
const UNIX: u64 = 1_800_000_000;

const CLOCK: ClockState = ClockState { synchronized: false, offset: 0, estimated_error: 0, error_max: 0, raw: [0; 16] };

const MACHINE: Machine = Machine {
    statfs: |_| {
        let stat = FsStat { block_size: 4096, blocks: 1000, blocks_free: 900, ..FsStat::default() };
        Ok(FsStat { blocks_available: 900, files: 1000, files_free: 900, ..stat })
    },
    answer: crate::kernel::answer,
    since_boot: || Duration::from_secs(NOW),
    unix_time: || Duration::from_secs(UNIX),
    clock_state: || Some(ClockState { synchronized: true, ..CLOCK }),
    firmware: |_| None,
    radios: |_| Err(std::io::Error::from_raw_os_error(libc::ENOENT)),
};

fn good_radio(question: Question, interface: u32) -> io::Result<[u8; 4]> {
    Ok(if question == COUNTRY { *b"DE\0\0" } else { u32::from(interface != 3).to_ne_bytes() })
}

/// What a check said, to keep.
#[derive(Debug)]
struct Said {
    name: String,
    outcome: Outcome,
    title: String,
    detail: String,
    fix: String,
}

/// Looks at the healthy machine after `plant` has changed it.
fn look(name: &str, plant: &[(&str, &[u8])], gone: &[&str], adjust: fn(&mut Look<'_>), waits: bool) -> Vec<Said> {
    let directory = std::env::temp_dir().join(format!("pi-monitor-doctor-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    for (file, text) in HEALTHY.iter().chain(plant) {
        let path = directory.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for file in gone {
        std::fs::remove_file(directory.join(file)).unwrap();
    }
    let flags = ["proc", "sys", "root"].map(|root| format!("--path.{root}fs={}", directory.join(root).display()));
    let options = commands::parse(flags).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut all = Vec::new();
    let place = format!("{}/", directory.display());
    runtime.block_on(async {
        let mut agent = Agent::once(&options, MACHINE);
        let snapshot = agent.snapshot(Duration::ZERO).await;
        let roots = Roots::new(&options);
        let mut look = Look::new(&roots, MACHINE, snapshot);
        (look.radio, look.is_here) = (good_radio, true);
        adjust(&mut look);
        look.all(waits, &mut |looked| {
            let Looked { name, outcome, title, detail, fix, .. } = *looked;
            // The kernel lists in its own order.
            let mut parts: Vec<_> = detail.split("; ").collect();
            if name == "usb_over_current" || name == "second_agent" {
                parts.sort_unstable();
            }
            let detail = parts.join("; ").replace(&place, "");
            all.push(Said { name: name.to_owned(), outcome, title: title.to_owned(), detail, fix: fix.to_owned() });
        });
    });
    std::fs::remove_dir_all(&directory).unwrap();
    all
}

/// What is said about each check.
fn words(text: &str) -> impl Iterator<Item = Words<'_>> {
    let mut rest = text;
    ALL.iter().map(move |_| Words::take(&mut rest))
}

/// The names and details of what was not well.
fn ill(all: &[Said]) -> Vec<(&str, &str)> {
    all.iter().filter(|it| it.outcome != Outcome::Well).map(|it| (&*it.name, &*it.detail)).collect()
}

#[test]
fn a_healthy_machine_has_nothing_and_all_was_looked_at() {
    let all = look("healthy", &[], &[], |_| (), true);
    assert_eq!(ill(&all), []);
    let text = check_texts();
    assert_eq!(all.iter().map(|it| &*it.name).collect::<Vec<_>>(), words(&text).map(|it| it.name).collect::<Vec<_>>());
}

/// What is planted, what has gone, the check that finds it, and what it says.
type Fault = (&'static [(&'static str, &'static [u8])], &'static [&'static str], &'static str, &'static str);

const FAULTS: &[Fault] = &[
    (
        &[("sys/devices/platform/soc/soc:firmware/get_throttled", b"50000\n")],
        &[],
        "throttled_since_boot",
        "under_voltage; throttled",
    ),
    (&[("proc/device-tree/chosen/power/max_current", b"\0\0\x0b\xb8")], &[], "usb_power", "it offers 3000 mA of 5000"),
    (
        &[
            ("sys/bus/usb/devices/1-0:1.0/usb1-port2/over_current_count", b"3\n"),
            ("sys/bus/usb/devices/1-1:1.0/1-1-port4/over_current_count", b"1\n"),
        ],
        &[],
        "usb_over_current",
        "1-1-port4: 1 times since boot; usb1-port2: 3 times since boot",
    ),
    (
        &[("proc/device-tree/chosen/power/usb_over_current_detected", b"\0\0\0\x01")],
        &[],
        "usb_over_current",
        "when the machine booted",
    ),
    (
        &[
            ("sys/fs/ext4/mmcblk0p2/errors_count", b"12\n"),
            ("sys/fs/ext4/mmcblk0p2/first_error_time", b"1799136000\n"),
            ("sys/fs/ext4/mmcblk0p2/last_error_time", b"1799989200\n"),
        ],
        &[],
        "filesystem_errors",
        "12 on mmcblk0p2; the first 10 days ago; the last 3 hours ago",
    ),
    (
        &[("sys/fs/ext4/mmcblk0p2/errors_count", b"1\n"), ("sys/fs/ext4/mmcblk0p2/last_error_time", b"1799999991\n")],
        &[],
        "filesystem_errors",
        "1 on mmcblk0p2; the last 1 minute ago",
    ),
    (
        &[("sys/class/block/mmcblk2/device/life_time", b"0x03 0x0a\n")],
        &[],
        "emmc_wear",
        "mmcblk2: 100% of its life used, 80% of the spare blocks used",
    ),
    (&[("sys/class/block/mmcblk1/device/life_time", b"0x0b 0x00\n")], &[], "emmc_wear", "mmcblk1: beyond its life"),
    (
        &[
            ("sys/class/block/mmcblk1/device/pre_eol_info", b"0x03\n"),
            ("sys/class/block/mmcblk1/device/life_time", b"0x4a\n"),
        ],
        &[],
        "emmc_wear",
        "mmcblk1: 90% of the spare blocks used",
    ),
    (&[], &["sys/class/block/mmcblk1/device/pre_eol_info"], "emmc_wear", "mmcblk1: 100% of its life used"),
    (&[], &["sys/class/block/mmcblk2/device/life_time"], "emmc_wear", "mmcblk2: 80% of the spare blocks used"),
    (
        &[("proc/swaps", b"Filename Type Size Used Priority\n/var/swap file 102396 40960 -2\n")],
        &[],
        "swap_on_card",
        "/var/swap on mmcblk0, 100 MiB",
    ),
    (
        &[("proc/swaps", b"Filename Type Size Used Priority\n/dev/mmcblk0p3 partition 102396 40960 -2\n")],
        &["sys/block/mmcblk0/device/type"],
        "swap_on_card",
        "/dev/mmcblk0p3 on mmcblk0, 100 MiB",
    ),
    (&[("proc/cmdline", b"console=tty1\n")], &["proc/pressure/cpu"], "psi", "psi=1 is not on its command line"),
    (
        &[("sys/fs/cgroup/cgroup.controllers", b"cpuset cpu io pids\n")],
        &[],
        "memory_accounting",
        "the controller memory is switched off",
    ),
    (
        &[("proc/cmdline", b"cgroup_disable=memory\n")],
        &["sys/fs/cgroup/cgroup.controllers"],
        "memory_accounting",
        "the controller memory is switched off",
    ),
    (
        &[("root/lib/modules/6.12.62+rpt-rpi-v8/modules.builtin", b"\n")],
        &[],
        "reboot_pending",
        "6.12.62+rpt-rpi-v8 is installed, an older kernel runs",
    ),
    (&[("root/run/reboot-required", b"")], &[], "reboot_pending", "/run/reboot-required is there"),
    (
        &[
            ("proc/88/comm", b"prometheus-node\n"),
            ("proc/88/stat", b"88 (prometheus-node) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 900 0 0\n"),
        ],
        &[],
        "second_agent",
        "pi-monitor is process 703; prometheus-node is process 88",
    ),
];

#[test]
fn each_planted_fault_is_found_alone() {
    let mut seen = BTreeSet::new();
    for (plant, gone, name, detail) in FAULTS {
        let all = look(name, plant, gone, |_| (), true);
        assert_eq!(ill(&all), [(*name, *detail)]);
        seen.insert(*name);
    }
    type Adjust = (&'static str, &'static str, fn(&mut Look<'_>));
    let adjusted: [Adjust; 4] = [
        ("clock", "no time service has set it since boot", |look| look.machine.clock_state = || Some(CLOCK)),
        ("wifi_power_save", "wlan0", |look| look.radio = |question, _| good_radio(question, 0)),
        ("wifi_country", "the regulatory domain is 00, that of the world", |look| {
            look.radio = |question, number| {
                if question == COUNTRY { Ok(*b"00\0\0") } else { good_radio(question, number) }
            };
        }),
        ("logs", "the journal takes ", |look| {
            let log = look.roots.root.join("var/log");
            std::fs::write(log.join("syslog"), vec![b'x'; 196 * 1024 - 4096]).unwrap();
            // Directories take space too, but not that much; the file is on the disk only then.
            for file in ["syslog", "journal/0123/system.journal"] {
                std::fs::File::open(log.join(file)).unwrap().sync_all().unwrap();
            }
            look.logs_max = 100 * 1024;
        }),
    ];
    for (name, detail, adjust) in adjusted {
        let all = look(name, &[], &[], adjust, true);
        let [(found, said)] = ill(&all)[..] else { panic!("{name}: {:?}", ill(&all)) };
        // How much a file takes is the filesystem's affair.
        assert!(found == name && (said == detail || name == "logs" && said.starts_with(detail)), "{found}: {said}");
        seen.insert(name);
    }
    for check in words(&check_texts()).filter(|check| !check.title.is_empty()) {
        assert!(seen.contains(check.name), "no fault shows {}", check.name);
    }
}

/// A kernel built without these features, an eMMC, a Wi-Fi country that is set, a device that is not a hub: no findings.
#[test]
fn what_only_looks_like_a_fault() {
    type Change = (&'static [(&'static str, &'static [u8])], &'static [&'static str]);
    let well: &[Change] = &[
        (&[], &["proc/pressure/cpu"]),
        (&[], &["sys/fs/cgroup/cgroup.controllers"]),
        (
            &[
                ("sys/block/mmcblk0/device/type", b"MMC\n"),
                ("proc/swaps", b"Filename Type Size Used Priority\n/var/swap file 102396 40960 -2\n"),
            ],
            &[],
        ),
        (
            &[
                ("proc/device-tree/chosen/power/max_current", b"\0\0\x0b\xb8"),
                ("proc/device-tree/chosen/power/usb_max_current_enable", b"\0\0\0\x01"),
            ],
            &[],
        ),
        (&[("proc/device-tree/chosen/power/max_current", b"\0\0\0\0")], &[]),
        (&[("proc/self/mountinfo", b"25 1 8:2 / / rw - ext4 /dev/sda2 rw\n")], &[]),
        (&[("sys/fs/cgroup/cgroup.controllers", b"cpu io\n")], &[]),
    ];
    for (place, (plant, gone)) in well.iter().enumerate() {
        let all = look(&format!("well-{place}"), plant, gone, |_| (), true);
        assert_eq!(ill(&all), [], "{plant:?} {gone:?}");
    }
    let told: &[(&str, &[u8])] = &[("sys/module/cfg80211/parameters/ieee80211_regdom", b"GB\n")];
    let all = look(
        "told",
        told,
        &[],
        |look| {
            look.radio = |question, number| {
                if question == COUNTRY { Err(io::ErrorKind::Other.into()) } else { good_radio(question, number) }
            };
        },
        true,
    );
    assert_eq!(ill(&all), []);
}

#[test]
fn what_may_not_be_looked_at_is_no_finding_and_says_why() {
    let all = look(
        "refused",
        &[],
        &[],
        |look| {
            let proc = &look.roots.proc;
            // Even root cannot read these.
            for file in ["1/io", "swaps"] {
                std::fs::remove_file(proc.join(file)).unwrap();
                std::fs::create_dir(proc.join(file)).unwrap();
            }
            look.radio = |_, _| Err(io::Error::from_raw_os_error(libc::EPERM));
            look.machine.clock_state = || None;
        },
        true,
    );
    let expected = [
        ("swap_on_card", "proc/swaps: Is a directory (os error 21)"),
        ("clock", "adjtimex: Operation not permitted (os error 1)"),
        ("wifi_power_save", "nl80211: Operation not permitted (os error 1)"),
        ("wifi_country", "nl80211: Operation not permitted (os error 1)"),
        ("process_io", "proc/1/io: Is a directory (os error 21)"),
    ];
    assert_eq!(ill(&all), expected);
    for looked in all.iter().filter(|it| it.outcome != Outcome::Well) {
        assert!(looked.outcome == Outcome::Unseen && !looked.fix.is_empty() && !looked.title.is_empty(), "{looked:?}");
    }
}

#[test]
fn a_running_agent_waits_for_nothing() {
    let all = look("running", &[("root/run/reboot-required", b"")], &[], |_| (), false);
    let text = check_texts();
    let waiting: Vec<_> =
        ALL.iter().zip(words(&text)).filter(|(check, _)| check.waits).map(|(_, it)| it.name).collect();
    assert_eq!(ill(&all).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), waiting);
    assert!(all.iter().all(|it| matches!(it.outcome, Outcome::Well | Outcome::Unseen)));
}

#[test]
fn laws_over_the_table() {
    let text = check_texts();
    let mut names = BTreeSet::new();
    for Words { name, what, title, fix, how } in words(&text) {
        assert!(names.insert(name) && !what.is_empty() && !how.is_empty(), "{name}");
        assert_eq!(title.is_empty(), fix.is_empty(), "{name}");
        for text in [title, fix, how, what] {
            assert!(!text.ends_with('.') && text.trim() == text, "{text}");
        }
    }
    // Five lines each and an empty one behind them, and nothing else.
    assert_eq!(text.lines().count(), ALL.len() * 6);
    assert!(text.lines().skip(5).step_by(6).all(str::is_empty));
}

#[test]
fn the_first_thing_that_is_wrong_stands_in_the_fix() {
    let swap: &[(&str, &[u8])] = &[("proc/swaps", b"Filename Type Size Used Priority\n/var/a\\040b file 1024 0 -2\n")];
    let all = look("fix", swap, &[], |_| (), true);
    let found = all.iter().find(|it| it.outcome == Outcome::Found(Severity::Warning)).unwrap();
    assert!(found.fix.contains("sudo swapoff /var/a b,"), "{}", found.fix);
}

/// A running agent does not tell anybody to stop itself.
#[test]
fn the_fix_names_another_agent_than_the_one_that_looks() {
    let other: &[(&str, &[u8])] = &[
        ("proc/88/comm", b"prometheus-node\n"),
        ("proc/88/stat", b"88 (prometheus-node) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 900 0 0\n"),
    ];
    let this = |look: &mut Look<'_>| {
        let own = look.roots.proc.join("self");
        // As in procfs, a link to the process.
        std::fs::rename(&own, look.roots.proc.join("703/moved")).unwrap();
        std::os::unix::fs::symlink("703", own).unwrap();
    };
    let all = look("this", other, &[], this, true);
    let found = all.iter().find(|it| it.name == "second_agent").unwrap();
    assert_eq!(found.detail, "prometheus-node is process 88; this one is process 703");
    assert!(found.fix.contains("systemctl status 88;"), "{}", found.fix);
    assert_eq!(ill(&look("alone", &[], &[], this, true)), []);
}

#[test]
fn kernels_are_compared_by_their_numbers() {
    let is_newer = super::checks::is_newer;
    for (older, newer) in [
        ("6.12.47+rpt-rpi-v8", "6.12.62+rpt-rpi-v8"),
        ("6.12.9+rpt-rpi-v8", "6.12.10+rpt-rpi-v8"),
        ("6.1.0-18-amd64", "6.1.0-20-amd64"),
        ("6.8.0-1013-raspi", "6.11.0-1002-raspi"),
        ("6.1.21-v8+", "6.6.20-v8+"),
        ("6.6", "6.6.1"),
    ] {
        assert!(is_newer(newer, older) && !is_newer(older, newer) && !is_newer(older, older), "{older} {newer}");
    }
    for (one, other) in
        [("6.12.47+rpt-rpi-v8", "6.12.99+rpt-rpi-2712"), ("6.1.0-18-amd64", "6.1.0-20-rt-amd64"), ("", "x")]
    {
        assert!(!is_newer(one, other) && !is_newer(other, one), "{one} {other}");
    }
}
