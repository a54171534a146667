use super::super::flow::testing::{named, notes};
use super::super::{Flow, Out};
use super::*;

/// What a log of these records reports.
fn read(records: &[&str]) -> Vec<String> {
    notes(&mut Flow::default(), 0, |out| all(records, out))
}

fn all(records: &[&str], out: &mut Out<'_>) {
    let mut limit = Short::new();
    for line in records {
        record(line.as_bytes(), &mut limit, out);
    }
}

/// Lines as kernels print them, and the title each gets.
const REAL: &[(&str, &str)] = &[
    (
        "3,1,2,-;I/O error, dev mmcblk0, sector 7342080 op 0x0:(READ) flags 0x84700 phys_seg 31 prio class 2",
        "storage_error critical: mmcblk0 reported an I/O error",
    ),
    (
        "3,1,2,-;blk_update_request: I/O error, dev sda, sector 2048 op 0x1:(WRITE) flags 0x800 phys_seg 1 prio class 0",
        "storage_error critical: sda reported an I/O error",
    ),
    (
        "3,1,2,-;critical medium error, dev sda, sector 976773160 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        "storage_error critical: sda reported an I/O error",
    ),
    ("3,1,2,-;operation not supported error, dev loop0, sector 0 op 0x9:(WRITE_ZEROES) flags 0x800 phys_seg 0", ""),
    (
        "3,1,2,-;Buffer I/O error on dev sda1, logical block 121734, lost async page write",
        "storage_error critical: Data for sda1 could not be written",
    ),
    ("3,1,2,-;mmc0: Timeout waiting for hardware interrupt.", "storage_error warning: mmc0 did not answer in time"),
    (
        "4,1,2,-;mmcblk0: error -110 transferring data, sector 2048, nr 8, cmd response 0x900, card status 0x0",
        "storage_error warning: mmcblk0 reported an error",
    ),
    ("3,1,2,-;mmc0: error -84 whilst initialising SD card", "storage_error warning: mmc0 reported an error"),
    ("3,1,2,-;mmc0: Reset 0x1 never completed.", "storage_error warning: mmc0 does not answer"),
    ("4,1,2,-;mmc0: running CQE recovery", "storage_error warning: mmc0 had to recover from an error"),
    ("3,1,2,-;mmc0: Card stuck being busy! __mmc_poll_for_busy", "storage_error warning: mmc0 is stuck"),
    (
        "4,1,2,-;nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 4 timeout, aborting req_op:READ(0) size:4096",
        "storage_error warning: nvme0 did not answer in time",
    ),
    (
        "4,1,2,-;nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10",
        "storage_error critical: nvme0 stopped working",
    ),
    ("3,1,2,-;ata1.00: failed command: READ FPDMA QUEUED", "storage_error warning: ata1.00 reported a failed command"),
    (
        "6,1,2,-;sd 0:0:0:0: Device offlined - not ready after error recovery",
        "storage_error critical: SCSI disk 0:0:0:0 was switched off after errors",
    ),
    (
        "6,1,2,-;sd 0:0:0:0: [sda] tag#3 uas_eh_abort_handler 0 uas-tag 4 inflight: CMD OUT ",
        "storage_error warning: sda did not answer over USB",
    ),
    (
        "2,1,2,-;md/raid1:md0: Disk failure on sda1, disabling device.",
        "storage_error critical: sda1 failed and was taken out of its RAID",
    ),
    (
        "2,1,2,-;EXT4-fs error (device mmcblk0p2): ext4_lookup:1789: inode #2: comm ls: deleted inode referenced: 12",
        "filesystem_error critical: The filesystem on mmcblk0p2 has an error",
    ),
    (
        "2,1,2,-;EXT4-fs error (device loop0): trigger_test_error:129: comm sh: test",
        "filesystem_error critical: The filesystem on loop0 has an error",
    ),
    (
        "2,1,2,-;EXT4-fs (mmcblk0p2): Remounting filesystem read-only",
        "filesystem_error critical: The filesystem on mmcblk0p2 was made read-only after an error",
    ),
    (
        "4,1,2,-;EXT4-fs (sda1): warning: mounting fs with errors, running e2fsck is recommended",
        "filesystem_error warning: The filesystem on sda1 needs a check",
    ),
    (
        "3,1,2,-;BTRFS error (device sda1 state EA): bdev /dev/sda1 errs: wr 1, rd 0, flush 0, corrupt 0, gen 0",
        "filesystem_error critical: The filesystem on sda1 has an error",
    ),
    (
        "6,1,2,-;BTRFS info (device sda1 state E): forced readonly",
        "filesystem_error critical: The filesystem on sda1 was made read-only after an error",
    ),
    (
        "4,1,2,-;BTRFS warning (device sda1): csum failed root 5 ino 257 off 0 csum 0x98f94189 expected csum 0x94d62860 mirror 1",
        "filesystem_error warning: Data on sda1 does not match its checksum",
    ),
    ("6,1,2,-;BTRFS info (device sda1): using crc32c (crc32c-generic) checksum algorithm", ""),
    (
        "3,1,2,-;FAT-fs (mmcblk0p1): Filesystem has been set read-only",
        "filesystem_error critical: The filesystem on mmcblk0p1 was made read-only after an error",
    ),
    (
        "3,1,2,-;FAT-fs (sda1): error, fat_get_cluster: invalid cluster chain (i_pos 0)",
        "filesystem_error critical: The filesystem on sda1 has an error",
    ),
    (
        "4,1,2,-;FAT-fs (sda1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.",
        "filesystem_error warning: sda1 was not unmounted properly",
    ),
    (
        "3,1,2,-;exFAT-fs (sda1): error, invalid access to FAT free cluster (entry 0x00000003)",
        "filesystem_error critical: The filesystem on sda1 has an error",
    ),
    (
        "4,1,2,-;exFAT-fs (sda1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.",
        "filesystem_error warning: sda1 was not unmounted properly",
    ),
    (
        "1,1,2,-;XFS (sda1): Metadata corruption detected at xfs_agf_read_verify+0xce/0xf0 [xfs], xfs_agf block 0x1 ",
        "filesystem_error critical: The filesystem on sda1 has an error",
    ),
    ("5,1,2,-;XFS (sda1): Mounting V5 Filesystem", ""),
    (
        "3,1,2,-;F2FS-fs (sda1): inconsistent node block, nid:4, node_footer[nid:0,ino:0,ofs:0,cpver:0,blkaddr:0]",
        "filesystem_error critical: The filesystem on sda1 has an error",
    ),
    ("5,1,2,-;F2FS-fs (sda1): Mounted with checkpoint version = 5f1b0a1", ""),
    (
        "3,1,2,-;SQUASHFS error: zlib decompression failed, data probably corrupt",
        "filesystem_error warning: A squashfs image has an error",
    ),
    ("4,1,2,-;usb usb1-port1: over-current change #1", "usb_error warning: Over-current at USB port usb1-port1"),
    ("3,1,2,-;hub 1-1:1.0: over-current change on port 2", "usb_error warning: Over-current at USB hub 1-1:1.0"),
    (
        "3,1,2,-;usb 1-1.4: device descriptor read/64, error -71\n SUBSYSTEM=usb\n DEVICE=c189:7\n",
        "usb_error warning: USB device 1-1.4 does not answer",
    ),
    (
        "3,1,2,-;usb 1-1.4: device not accepting address 7, error -71",
        "usb_error warning: USB device 1-1.4 does not answer",
    ),
    ("3,1,2,-;usb 1-1: device not responding to setup address.", "usb_error warning: USB device 1-1 does not answer"),
    (
        "3,1,2,-;usb 1-1-port4: unable to enumerate USB device",
        "usb_error warning: The USB device at 1-1-port4 could not be recognized",
    ),
    (
        "3,1,2,-;usb usb2-port1: Cannot enable. Maybe the USB cable is bad?",
        "usb_error warning: USB port usb2-port1 could not be switched on",
    ),
    (
        "6,1,2,-;usb 2-1: reset SuperSpeed USB device number 2 using xhci_hcd",
        "usb_error info: USB device 2-1 was reset",
    ),
    (
        "6,1,2,-;usb 1-1: reset high-speed USB device number 4 using xhci_hcd",
        "usb_error info: USB device 1-1 was reset",
    ),
    ("6,1,2,-;usb 1-1: new high-speed USB device number 4 using xhci_hcd", ""),
    ("6,1,2,-;usb 1-1: SerialNumber: x: device descriptor read/64", ""),
    ("6,1,2,-;usb 1-1: Manufacturer: unable to enumerate USB device", ""),
    (
        "3,1,2,-;xhci_hcd 0000:01:00.0: HC died; cleaning up",
        "usb_error critical: USB controller 0000:01:00.0 stopped working",
    ),
    ("2,1,2,-;Under-voltage detected! (0x00050005)", "power warning: Under-voltage"),
    ("2,1,2,-;hwmon hwmon1: Undervoltage detected!", "power warning: Under-voltage"),
    ("6,1,2,-;Voltage normalised (0x00000000)", "power info: The supply voltage is back to normal"),
    ("6,1,2,-;hwmon hwmon1: Voltage normalised", "power info: The supply voltage is back to normal"),
    (
        "0,1,2,-;thermal thermal_zone0: cpu-thermal: critical temperature reached",
        "power_error critical: The machine shuts down because it is too hot",
    ),
    (
        "3,1,2,-;INFO: task kworker/u8:2:114 blocked for more than 120 seconds.",
        "stall warning: A process was blocked for minutes",
    ),
    (
        "0,1,2,-;Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
        "kernel_error critical: The kernel panicked",
    ),
    ("0,1,2,-;Internal error: Oops: 96000004 [#1] PREEMPT SMP", "kernel_error critical: The kernel hit a bug"),
    ("4,1,2,-;Oops: 0002 [#1] PREEMPT SMP NOPTI", "kernel_error critical: The kernel hit a bug"),
    (
        "1,1,2,-;BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "kernel_error critical: The kernel hit a bug",
    ),
    ("2,1,2,-;kernel BUG at fs/ext4/inode.c:2698!", "kernel_error critical: The kernel hit a bug"),
    (
        "0,1,2,-;watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [python3:1234]",
        "kernel_error critical: A CPU hung in the kernel",
    ),
    ("3,1,2,-;rcu: INFO: rcu_preempt self-detected stall on CPU", "kernel_error warning: A CPU hung in the kernel"),
    (
        "4,1,2,-;WARNING: CPU: 0 PID: 12 at drivers/gpu/drm/vc4/vc4_hdmi.c:500 vc4_hdmi_bind+0x1/0x2",
        "kernel_error warning: The kernel reported a bug",
    ),
    ("6,1,2,-;usb 1-1: Product: over-current ", ""),
    ("6,339,5140900,-,caller=T1;NET: Registered PF_INET6 protocol family", ""),
];

#[test]
fn real_lines_get_their_titles() {
    for (line, expected) in REAL {
        let seen = read(&[line]);
        let text = line.split_once(';').unwrap().1.lines().next().unwrap();
        let quoted = seen.iter().map(|it| it.split(" | ").next().unwrap()).collect::<Vec<_>>();
        assert_eq!(quoted, if expected.is_empty() { vec![] } else { vec![*expected] }, "{line}");
        assert!(seen.iter().all(|it| it.contains(text)), "{seen:?}");
    }
}

#[test]
fn every_pattern_is_well_formed_and_has_a_real_line() {
    for pattern in PATTERNS.lines() {
        let parts: Vec<_> = pattern.split('|').collect();
        assert_eq!(parts.len(), 5, "{pattern}");
        let [letter, urgency, level] = *parts[0].as_bytes() else { panic!("{pattern}") };
        assert!(b"cwi-".contains(&urgency) && (b'0'..=b'7').contains(&level), "{pattern}");
        assert_eq!(kind(letter).is_none(), parts[4].is_empty(), "{pattern}");
        assert!(!parts[1].is_empty() || !parts[2].is_empty(), "{pattern} fits everything");
        let (start, within, title) = (parts[1], parts[2], parts[4].split("{}").next().unwrap());
        let fits = |(line, expected): &&(&str, &str)| {
            let text = line.split_once(';').unwrap().1;
            text.starts_with(start) && text.contains(within) && expected.contains(title)
        };
        assert!(REAL.iter().find(fits).is_some(), "no real line for {pattern}");
    }
}

/// A filesystem's error and what the kernel does about it are one event, of one filesystem.
#[test]
fn a_filesystem_that_is_made_read_only_for_its_error_is_one_event() {
    for (error, follows) in [
        (
            "EXT4-fs error (device sda1): ext4_lookup:1789: inode #2: comm ls: x",
            "EXT4-fs (sda1): Remounting filesystem read-only",
        ),
        (
            "BTRFS: error (device sda1) in btrfs_commit_transaction:2310: errno=-5 IO failure",
            "BTRFS info (device sda1): forced readonly",
        ),
        (
            "FAT-fs (sda1): error, fat_get_cluster: invalid cluster chain (i_pos 0)",
            "FAT-fs (sda1): Filesystem has been set read-only",
        ),
    ] {
        let [error, follows] = [error, follows].map(|text| format!("2,1,2,-;{text}"));
        let first = read(&[&error]);
        assert_eq!(first.len(), 1, "{error}");
        assert_eq!(read(&[&error, &follows]), first);
        assert_eq!(read(&[&error, &follows.replace("sda1", "sdb1")]).len(), 2);
        let flow = &mut Flow::default();
        notes(flow, 100, |out| all(&[&error], out));
        let later = notes(flow, 110, |out| all(&[&follows], out));
        assert!(later.len() == 1 && later[0].contains("made read-only after an error"), "{later:?}");
    }
}

/// `kmsg` takes lines of programs with every level and facility but the kernel's.
#[test]
fn lines_of_programs_are_not_believed() {
    for (line, _) in REAL {
        let (head, text) = line.split_once(';').unwrap();
        let level: u32 = head.split(',').next().unwrap().parse().unwrap();
        for facility in [1, 3, 10, 23] {
            let rest = head.split_once(',').unwrap().1;
            assert_eq!(read(&[&format!("{},{rest};{text}", level + 8 * facility)]), [""; 0]);
        }
    }
}

#[test]
fn hostile_records_are_harmless() {
    let long = format!("3,1,2,-;I/O error, dev {}", "x".repeat(9000));
    let title = &read(&[&long])[0];
    assert!(title.len() < 9700 && title.starts_with("storage_error critical: xxx"), "{title}");
    for line in [
        "",
        ";",
        "3",
        "3;",
        ",;I/O error, dev sda",
        "-1,1;I/O error, dev sda",
        "99999999999999999999,1,2,-;BUG: ",
        "3,1,2,-;I/O error, dev ",
    ] {
        let seen = read(&[line]);
        assert!(seen.is_empty() || line.ends_with("dev "), "{line}: {seen:?}");
    }
    let mut limit = Short::new();
    let binary =
        notes(&mut Flow::default(), 0, |out| record(b"3,1,2,-;I/O error, dev \xff\xfe, sector", &mut limit, out));
    assert_eq!(binary, [""; 0]);
}

const OF_GROUP: &str = "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/nextcloud.service,task_memcg=/system.slice/nextcloud.service,task=php,pid=1234,uid=33";
const GROUP_KILLED: &str = "3,1,2,-;Memory cgroup out of memory: Killed process 1234 (php) total-vm:214256kB, anon-rss:96000kB, file-rss:2304kB, shmem-rss:0kB, UID:33 pgtables:480kB oom_score_adj:0";
const OF_MACHINE: &str = "6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=user.slice,mems_allowed=0,global_oom,task_memcg=/user.slice/user-1000.slice/session-1.scope,task=python3,pid=77,uid=1000";
const MACHINE_KILLED: &str = "3,1,2,-;Out of memory: Killed process 77 (python3) total-vm:914256kB, anon-rss:806912kB, file-rss:128kB, shmem-rss:0kB, UID:1000 pgtables:1700kB oom_score_adj:0";

#[test]
fn who_was_killed_and_by_which_limit() {
    assert_eq!(
        read(&[OF_GROUP, GROUP_KILLED, OF_MACHINE, MACHINE_KILLED]),
        [
            "oom_kill critical: php was killed for lack of memory | process 1234, 96 MiB: reached the memory limit of /system.slice/nextcloud.service | php",
            "oom_kill critical: python3 was killed for lack of memory | process 77, 788 MiB: the machine ran out of memory | python3",
        ]
    );
    // Without the first line, as kernels before 4.20.
    assert_eq!(
        read(&[
            GROUP_KILLED,
            "3,1,2,-;Killed process 9 (old kernel) total-vm:1024kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB"
        ]),
        [
            "oom_kill critical: php was killed for lack of memory | process 1234, 96 MiB: it reached its memory limit | php",
            "oom_kill critical: old kernel was killed for lack of memory | process 9, 2 MiB: the machine ran out of memory | old kernel",
        ]
    );
}

#[test]
fn a_process_cannot_choose_what_is_reported_about_it() {
    let name = "a) total-vm:1kB, (b";
    let line = format!(
        "3,1,2,-;Out of memory: Killed process 5 ({name}) total-vm:9kB, anon-rss:1048576kB, file-rss:0kB, shmem-rss:0kB"
    );
    assert_eq!(
        read(&[&line]),
        [format!(
            "oom_kill critical: {name} was killed for lack of memory | process 5, 1024 MiB: the machine ran out of memory | {name}"
        )]
    );
    // Its name cannot stand for the group whose limit it was.
    let forged = OF_GROUP.replace("task=php", "task=x,oom_memcg=/f,");
    assert!(read(&[&forged, GROUP_KILLED])[0].contains("limit of /system.slice/nextcloud.service"));
    // A sum that does not fit.
    let line = "3,1,2,-;Out of memory: Killed process 5 (x) total-vm:9kB, anon-rss:18446744073709551615kB, file-rss:9kB, shmem-rss:0kB";
    assert!(read(&[line])[0].contains("process 5, "));
}

#[test]
fn no_process_is_named_where_that_is_switched_off() {
    let lines = [
        OF_MACHINE,
        MACHINE_KILLED,
        "2,1,2,-;EXT4-fs error (device sda1): ext4_lookup:1789: inode #2: comm secret: deleted inode referenced: 12",
        "3,1,2,-;INFO: task secret:114 blocked for more than 120 seconds.",
        "0,1,2,-;watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [secret:1234]",
    ];
    let seen = named(&mut Flow::default(), 0, false, |out| all(&lines, out));
    assert_eq!(
        seen,
        [
            "oom_kill critical: A process was killed for lack of memory | process 77, 788 MiB: the machine ran out of memory",
            "filesystem_error critical: The filesystem on sda1 has an error | sda1",
            "stall warning: A process was blocked for minutes",
            "kernel_error critical: A CPU hung in the kernel",
        ]
    );
}

#[test]
fn the_log_is_opened_at_its_end() {
    let Ok(mut log) = open() else { return };
    let seen = notes(&mut Flow::default(), 0, |out| assert_ne!(log.read(&mut [0; 8192], out), Next::End));
    assert!(seen.len() < 5, "{seen:?}");
}
