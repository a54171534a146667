//! Inputs that public bug reports of comparable software describe, each on a board, with what is right.

use crate::boards::{self, CLOCK, Tree};
use pi_monitor::agent::Agent;
use pi_monitor::format::Format;

/// Writes files below a tree.
fn lay(tree: &Tree, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// A board, and the files that one report adds to it.
fn board(name: &str, files: &[(&str, &str)]) -> Tree {
    let tree = Tree::new(name);
    lay(&tree, files);
    tree
}

/// The samples of one family, each without the family's name.
fn family<'a>(metrics: &'a str, name: &str) -> Vec<&'a str> {
    metrics.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' '])).collect()
}

/// What an agent on the tree says at once; every collector has to be up.
fn metrics(tree: &Tree) -> String {
    boards::run(async {
        let mut agent = boards::agent(tree, &[]);
        let text = boards::page(&mut agent, Format::Prometheus).await;
        assert!(!family(&text, "pi_collector_up").iter().any(|line| line.ends_with(" 0")), "{text}");
        text
    })
}

/// Lets the agent tick for `seconds`, each of which `step` prepares; returns the rules that fire then.
fn verdicts(tree: &Tree, seconds: u64, step: impl Fn(u64)) -> Vec<&'static str> {
    watch(tree, seconds, step, |_| ())
}

fn watch(tree: &Tree, seconds: u64, step: impl Fn(u64), last: impl FnOnce(&mut Agent)) -> Vec<&'static str> {
    boards::run(async {
        step(0);
        let mut agent = boards::agent_with_clock(tree, &["--sample.interval=1s"]);
        for second in 1..=seconds {
            step(second);
            CLOCK.set(CLOCK.get() + 1);
            agent.tick();
            // Clocks of the test stand still between both looks, so the second one comes with the next tick.
            agent.look();
        }
        let found = agent.verdicts().items().map(|it| it.rule.name).collect();
        last(&mut agent);
        found
    })
}

/// The last value of a series in `/history`.
fn last_value(agent: &mut Agent, name: &str) -> f64 {
    let page = agent.history(
        pi_monitor::history::Request { range: 0, since: None, from: None, to: None, filesystems: false },
        false,
    );
    let json: serde_json::Value = serde_json::from_slice(&page).unwrap();
    let series = json["series"].as_array().unwrap().iter().find(|series| series["name"] == name).unwrap();
    let mut values = series["v"].as_array().unwrap().iter().filter_map(serde_json::Value::as_f64);
    values.next_back().unwrap() * series["scale"].as_f64().unwrap()
}

/// A mini PC: zone 0 is the firmware's, and always reads the same.
#[test]
fn the_temperature_of_a_machine_is_its_processors() {
    let zone = |zone: &str, name: &str| format!("sys/class/thermal/thermal_zone{zone}/{name}");
    let files = [
        ("0", "type", "acpitz\n"),
        ("0", "temp", "27800\n"),
        ("1", "type", "x86_pkg_temp\n"),
        ("1", "temp", "71000\n"),
    ];
    let files = files.map(|(number, name, text)| (zone(number, name), text));
    let tree = board("vm", &files.each_ref().map(|(file, text)| (file.as_str(), *text)));
    assert_eq!(family(&metrics(&tree), "pi_cpu_temperature_celsius"), ["{sensor=\"x86_pkg_temp\"} 71"]);
    watch(&tree, 4, |_| (), |agent| assert_eq!(last_value(agent, "temperature"), 71.0));
}

/// ext4's reserve is used up beyond what is left: `f_bavail` is below zero, and has no sign.
#[test]
fn less_than_nothing_available_is_nothing_and_full() {
    let tree = board("vm", &[]);
    let mounts = "23 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n24 23 8:97 / /mnt/nas rw - ext4 /dev/sdg1 rw\n";
    let statfs = std::fs::read_to_string(tree.path().join("root/statfs.txt")).unwrap();
    let statfs = statfs + "/mnt/nas\t4096\t4096\t75913000\t1000\t18446744073708551616\t0\t0\n";
    lay(&tree, &[("proc/self/mountinfo", mounts), ("root/statfs.txt", &statfs), ("root/mnt/nas/.keep", "")]);
    let labels = "{device=\"/dev/sdg1\",mountpoint=\"/mnt/nas\",fstype=\"ext4\"}";
    let text = metrics(&tree);
    assert!(text.contains(&format!("\npi_disk_available_bytes{labels} 0\n")), "{text}");
    let used = (75_913_000_u64 - 1000) * 4096;
    assert!(text.contains(&format!("\npi_disk_used_bytes{labels} {used}\n")), "{text}");
    assert_eq!(verdicts(&tree, 60, |_| ()), ["disk_full"]);
}

/// A service has mounts of its own, which do not show that somebody remounts a filesystem outside of it.
#[test]
fn a_remount_elsewhere_is_no_error() {
    let tree = board("vm", &[("root/late/.keep", "")]);
    let statfs = std::fs::read_to_string(tree.path().join("root/statfs.txt")).unwrap();
    lay(&tree, &[("root/statfs.txt", &(statfs + "/late\t4096\t4096\t1000\t900\t900\t100\t90\n"))]);
    let own = "23 1 179:2 / / ro - ext4 /dev/mmcblk0p2 rw\n24 23 8:2 / /late rw master:5 - vfat /dev/sda2 ";
    let machines = "3 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n4 3 8:2 / /late ";
    let errors = |view: &str, filesystem: &str| {
        let files = [
            ("proc/self/mountinfo", format!("{own}{filesystem}\n")),
            ("proc/1/mountinfo", format!("{machines}{view} shared:5 - vfat /dev/sda2 {filesystem}\n")),
        ];
        lay(&tree, &files.each_ref().map(|(file, text)| (*file, text.as_str())));
        let text = metrics(&tree);
        let lines = family(&text, "pi_disk_filesystem_error");
        lines
            .iter()
            .filter(|line| line.ends_with(" 1"))
            .map(|line| line.split('"').nth(3).unwrap().to_owned())
            .collect()
    };
    let errors: Vec<Vec<String>> =
        [("rw", "rw"), ("ro", "ro"), ("rw", "ro")].map(|(view, own)| errors(view, own)).into();
    assert_eq!(errors, [vec![], vec![], vec!["/late".to_owned()]]);
}

/// A container has private copies of the machine's mounts, which stay writable when somebody remounts the machine's own; only the
/// filesystem says `ro`, as after an error. ext4 has counted none then.
#[test]
fn a_remount_outside_of_a_container_is_no_error() {
    let mounts = "26 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n40 26 254:0 / /data rw - ext4 /dev/vda ro\n";
    let tree = board("vm", &[("proc/self/mountinfo", mounts), ("proc/1/mountinfo", mounts), ("root/data/.keep", "")]);
    let statfs = std::fs::read_to_string(tree.path().join("root/statfs.txt")).unwrap();
    lay(&tree, &[("root/statfs.txt", &(statfs + "/data\t4096\t4096\t1000\t900\t900\t100\t90\n"))]);
    for (count, locked, expected) in
        [("0\n", "0\n", &[][..]), ("1\n", "0\n", &["disk_read_only"]), ("0\n", "1\n", &["disk_read_only"])]
    {
        lay(&tree, &[("sys/fs/ext4/vda/errors_count", count), ("sys/class/block/vda/ro", locked)]);
        assert_eq!(verdicts(&tree, 60, |_| ()), *expected, "{count}{locked}");
    }
}

/// In a container the link leads to what the engine masks.
#[test]
fn a_board_is_named_in_a_container() {
    let tree = board("pi-5", &[]);
    let link = tree.path().join("proc/device-tree");
    let expected = metrics(&tree);
    let expected = family(&expected, "pi_board_info");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/nowhere/firmware/devicetree/base", &link).unwrap();
    assert_eq!(family(&metrics(&tree), "pi_board_info"), expected);
    assert!(expected[0].contains("Raspberry Pi 5"), "{expected:?}");
}

#[test]
fn files_that_an_engine_binds_into_a_container_are_no_filesystems() {
    let mounts =
        "1500 1100 0:60 / / rw,relatime master:380 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c/diff,workdir=/c/work
1501 1500 0:63 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1502 1500 0:64 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
1508 1500 179:2 /var/lib/docker/volumes/data/_data /data rw,noatime master:1 - ext4 /dev/mmcblk0p2 rw
1509 1500 179:2 /var/lib/docker/containers/abc/resolv.conf /etc/resolv.conf rw,noatime - ext4 /dev/mmcblk0p2 rw
1510 1500 179:2 /var/lib/docker/containers/abc/hostname /etc/hostname rw,noatime - ext4 /dev/mmcblk0p2 rw
1511 1500 179:2 /var/lib/docker/containers/abc/hosts /etc/hosts rw,noatime - ext4 /dev/mmcblk0p2 rw
1512 1500 0:24 /docker.sock /run/docker.sock rw,nosuid,nodev - tmpfs tmpfs rw,size=370516k,mode=755
";
    let tree = board("vm", &[]);
    lay(&tree, &[("proc/self/mountinfo", mounts)]);
    for name in ["etc/hosts", "etc/hostname", "etc/resolv.conf", "data/.keep"] {
        lay(&tree, &[(&format!("root/{name}"), "")]);
    }
    std::fs::create_dir_all(tree.path().join("root/run")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("root/run/docker.sock")).unwrap();
    let statfs = std::fs::read_to_string(tree.path().join("root/statfs.txt")).unwrap();
    let root = statfs.lines().find_map(|line| line.strip_prefix("/\t")).unwrap();
    let more: String = ["data", "etc/hosts", "etc/hostname", "etc/resolv.conf", "run/docker.sock"]
        .map(|name| format!("/{name}\t{root}\n"))
        .concat();
    lay(&tree, &[("root/statfs.txt", &(statfs.clone() + &more))]);
    let text = metrics(&tree);
    let mut told: Vec<_> =
        family(&text, "pi_disk_total_bytes").iter().map(|line| line.split('"').nth(3).unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["/", "/data"]);
}

/// What a board is delivered with is not its name.
#[test]
fn a_board_has_the_name_that_somebody_gave_it() {
    let dmi = |name: &str| format!("sys/devices/virtual/dmi/id/{name}");
    let tree = board("vm", &[]);
    for (name, text) in [
        ("product_name", "To Be Filled By O.E.M."),
        ("sys_vendor", "To Be Filled By O.E.M."),
        ("product_version", "Default string"),
        ("board_name", "N100DC-ITX"),
        ("board_vendor", "ASRock"),
    ] {
        lay(&tree, &[(&dmi(name), text)]);
    }
    let expected = "{model=\"N100DC-ITX\",revision=\"\",soc=\"\",manufacturer=\"ASRock\"} 1";
    assert_eq!(family(&metrics(&tree), "pi_board_info"), [expected]);
}

#[test]
fn chips_stand_in_where_there_is_no_zone() {
    let chip = |number: u32, name: &str| format!("sys/class/hwmon/hwmon{number}/{name}");
    let tree = board("vm", &[]);
    for (number, name, text) in [
        (0, "name", "k10temp\n"),
        (0, "temp1_label", "Tctl\n"),
        (0, "temp1_input", "63750\n"),
        (1, "name", "nvme\n"),
        (1, "temp1_input", "44850\n"),
    ] {
        lay(&tree, &[(&chip(number, name), text)]);
    }
    let text = metrics(&tree);
    assert_eq!(family(&text, "pi_temperature_celsius"), ["{sensor=\"k10temp Tctl\"} 63.75", "{sensor=\"nvme\"} 44.85"]);
    assert_eq!(family(&text, "pi_cpu_temperature_celsius"), ["{sensor=\"k10temp Tctl\"} 63.75"]);
}

/// A program that waits in io_uring counts as stalled on I/O. The board has a process that is blocked, too.
#[test]
fn idle_waiters_are_no_trouble_while_no_disk_works() {
    let tree = board("pi-5", &[]);
    let pressure = |second: u64| {
        let total = 98_765_432 + second * 990_000;
        let text = format!(
            "some avg10=99.00 avg60=98.00 avg300=97.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
        );
        lay(&tree, &[("proc/pressure/io", &text)]);
    };
    assert_eq!(verdicts(&tree, 90, pressure), [""; 0]);
    // The same with a disk that works.
    let diskstats = std::fs::read_to_string(tree.path().join("proc/diskstats")).unwrap();
    let works = |second: u64| {
        pressure(second);
        let line = |line: &str| {
            let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            if words[2] == "nvme0n1" {
                words[12] = (words[12].parse::<u64>().unwrap() + 500 * second).to_string();
            }
            words.join(" ") + "\n"
        };
        lay(&tree, &[("proc/diskstats", &diskstats.lines().map(line).collect::<String>())]);
    };
    assert_eq!(verdicts(&tree, 90, works), ["io_pressure"]);
}

#[test]
fn containers_of_k3s_are_no_filesystems() {
    let mut mounts = "23 1 179:2 / / rw,noatime - ext4 /dev/mmcblk0p2 rw
25 23 0:24 / /run rw,nosuid,nodev - tmpfs tmpfs rw,size=370516k,mode=755
26 25 0:25 / /run/lock rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=5120k\n"
        .to_owned();
    let tree = board("vm", &[]);
    let mut statfs = "/\t4096\t4096\t66053021\t62426947\t20195398\t16777216\t16296634\n/run\t4096\t4096\t92629\t92000\t92000\t1000\t900\n/run/lock\t4096\t4096\t1280\t1280\t1280\t1000\t900\n".to_owned();
    for number in 1..4 {
        let cri = "/run/k3s/containerd/io.containerd.grpc.v1.cri/sandboxes";
        let task = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io";
        mounts += &format!(
            "10{number} 25 0:10{number} / {cri}/s{number}/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
11{number} 25 0:11{number} / {task}/c{number}/rootfs rw,relatime - overlay overlay rw,lowerdir=/x/1/fs,upperdir=/var/lib/rancher/k3s/agent/x/2/fs,workdir=/x/2/work\n"
        );
        statfs += &format!("{cri}/s{number}/shm\t4096\t4096\t16384\t16384\t16384\t1000\t900\n");
        statfs += &format!("{task}/c{number}/rootfs\t4096\t4096\t66053021\t62426947\t20195398\t16777216\t16296634\n");
        lay(
            &tree,
            &[(&format!("root{cri}/s{number}/shm/.keep"), ""), (&format!("root{task}/c{number}/rootfs/.keep"), "")],
        );
    }
    lay(&tree, &[("proc/self/mountinfo", &mounts), ("root/statfs.txt", &statfs), ("root/run/lock/.keep", "")]);
    let text = metrics(&tree);
    let told = family(&text, "pi_disk_total_bytes");
    let told: Vec<_> = told.iter().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(told, ["/", "/run", "/run/lock"]);
}

#[test]
fn no_disks_in_a_container_are_no_fault() {
    let tree = board("vm", &[("proc/diskstats", "")]);
    assert_eq!(family(&metrics(&tree), "pi_disk_reads_completed_total"), [""; 0]);
}

/// lxcfs shows files without text where it has no numbers of the container; the other ones say what they know.
#[test]
fn pressure_that_a_container_does_not_have_is_no_fault() {
    let tree = board("nas", &[("proc/pressure/io", ""), ("proc/pressure/irq", "")]);
    let text = metrics(&tree);
    let lines = family(&text, "pi_pressure_waiting_seconds_total");
    let resources: Vec<_> = lines.iter().map(|line| line.split('"').nth(1).unwrap()).collect();
    assert_eq!(resources, ["cpu", "memory"]);
}

/// The kernel ends a read before a disk whose partitions do not fit; `kernel/source.rs` has the reads themselves.
#[test]
fn a_disk_with_many_partitions_hides_none() {
    let mut text: String =
        (0..8).map(|number| format!("   7       {number} loop{number} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n")).collect();
    text += " 179       0 mmcblk0 64331 1 2 3 4 5 6 7 0 8 9 0 0 0 0 0 0\n";
    for part in 1..=70 {
        text += &format!(" 179     {part:3} mmcblk0p{part} 919 1 2 3 4 5 6 7 0 8 9 0 0 0 0 0 0\n");
    }
    text += " 259       0 nvme0n1 64332 1 2 3 4 5 6 7 0 8 9 0 0 0 0 0 0\n";
    let tree = board("vm", &[("proc/diskstats", &text)]);
    let expected = ["{device=\"mmcblk0\"} 64331", "{device=\"nvme0n1\"} 64332"];
    assert_eq!(family(&metrics(&tree), "pi_disk_reads_completed_total"), expected);
}

/// One wire of 1 MB/s, which ten other interfaces count again.
#[test]
fn a_byte_that_passes_eleven_interfaces_counts_once() {
    const NAMES: [&str; 11] =
        ["eth0", "br0", "eth0.10", "wg0", "tailscale0", "bond0", "virbr0", "cni0", "flannel.1", "docker0", "veth1234"];
    let tree = board("pi-5", &[]);
    let step = |second: u64| {
        let mut text = "Inter-|   Receive |  Transmit\n face |bytes |bytes\n".to_owned();
        for name in NAMES {
            let (bytes, packets) = (1_000_000 * (second + 1), 1000 * (second + 1));
            text += &format!("{name}: {bytes} {packets} 0 0 0 0 0 0 {bytes} {packets} 0 0 0 0 0 0\n");
        }
        lay(&tree, &[("proc/net/dev", &text)]);
    };
    let last = |agent: &mut Agent| {
        let rate = last_value(agent, "network_receive");
        assert!((990_000.0..1_010_000.0).contains(&rate), "{rate}");
    };
    watch(&tree, 10, step, last);
}

/// Work of nice 19 uses every idle moment.
#[test]
fn work_that_gives_way_is_no_trouble() {
    let tree = board("pi-5", &[]);
    let stat = std::fs::read_to_string(tree.path().join("proc/stat")).unwrap();
    let step = |place: usize| {
        let (tree, stat) = (&tree, &stat);
        move |second: u64| {
            let line = |line: &str| {
                let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
                if words[0].starts_with("cpu") {
                    let cpus = if words[0] == "cpu" { 4 } else { 1 };
                    for (place, more) in [(place, 99), (4, 1)] {
                        words[place] = (words[place].parse::<u64>().unwrap() + more * second * cpus).to_string();
                    }
                }
                words.join(" ") + "\n"
            };
            lay(tree, &[("proc/stat", &stat.lines().map(line).collect::<String>())]);
        }
    };
    assert_eq!(verdicts(&tree, 60, step(2)), [""; 0]);
    assert_eq!(verdicts(&tree, 60, step(1)), ["cpu_busy"]);
}

/// OpenWrt on ARM, and kernels before 3.14.
#[test]
fn available_memory_is_estimated_where_the_kernel_does_not() {
    let tree = board("pi-5", &[]);
    let text = std::fs::read_to_string(tree.path().join("proc/meminfo")).unwrap();
    let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("MemAvailable")).collect();
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    lay(&tree, &[("proc/meminfo", &text)]);
    let metrics = metrics(&tree);
    let value = |name: &str| family(&metrics, name)[0].trim().parse::<u64>().unwrap();
    let (total, available) = (value("pi_memory_total_bytes"), value("pi_memory_available_bytes"));
    let most = kib("MemFree") + kib("Buffers") + kib("Cached") + kib("SReclaimable");
    assert!((most / 2..=most).contains(&available), "{available}");
    assert_eq!(value("pi_memory_used_bytes"), total - available);
}

/// A camera with 32 MiB, of which the kernel reserves more than is free (OpenIPC/majestic-webui#28); the same, used up; and a larger
/// machine that is used up.
#[test]
fn nothing_available_contradicts_a_third_that_is_free() {
    for (total, free, cached, expected) in [
        (33_552, 2664, 18_396, &[][..]),
        (33_552, 2664, 2100, &["memory_low"]),
        (436_000, 20_000, 30_000, &["memory_low"]),
    ] {
        let text = format!(
            "MemTotal: {total} kB\nMemFree: {free} kB\nMemAvailable: 0 kB\nBuffers: 100 kB\nCached: {cached} kB\n"
        );
        let tree = board("vm", &[("proc/meminfo", &text)]);
        assert_eq!(verdicts(&tree, 60, |_| ()), *expected, "{total} {free} {cached}");
        let bytes = if expected.is_empty() { (free + cached + 100) * 1024 } else { 0 };
        assert_eq!(family(&metrics(&tree), "pi_memory_available_bytes"), [format!(" {bytes}")]);
    }
}

/// A Jetson's PMIC always reads 100 °C, and is critical at 120 °C.
#[test]
fn a_sensor_is_hot_by_its_own_limit() {
    let tree = board("pi-5", &[]);
    let zone = |name: &str, text: &str| lay(&tree, &[(&format!("sys/class/thermal/thermal_zone3/{name}"), text)]);
    zone("type", "PMIC-Die\n");
    zone("temp", "100000\n");
    zone("trip_point_0_type", "critical\n");
    zone("trip_point_0_temp", "120000\n");
    assert_eq!(verdicts(&tree, 60, |_| ()), [""; 0]);
    zone("temp", "115000\n");
    assert_eq!(verdicts(&tree, 60, |_| ()), ["hot"]);
}

/// -1 is what intel_powerclamp says while it does nothing.
#[test]
fn a_cooling_device_may_be_below_zero() {
    let device = |name: &str| format!("sys/class/thermal/cooling_device9/{name}");
    let tree = board("pi-5", &[]);
    lay(
        &tree,
        &[(&device("type"), "intel_powerclamp\n"), (&device("cur_state"), "-1\n"), (&device("max_state"), "50\n")],
    );
    let text = metrics(&tree);
    let told = family(&text, "pi_cooling_state");
    assert!(told.iter().any(|line| line.contains("pwm-fan")), "{told:?}");
    assert!(
        !told.iter().any(|line| line.contains("powerclamp") && !line.ends_with(" 0") && !line.ends_with(" -1")),
        "{told:?}"
    );
}

/// A Xen guest has no disk beside its partition.
#[test]
fn a_partition_without_a_disk_is_one() {
    let tree = board("vm", &[("proc/diskstats", " 202       1 xvda1 123 4 5678 90 12 3 456 78 0 90 168 0 0 0 0\n")]);
    assert_eq!(family(&metrics(&tree), "pi_disk_reads_completed_total"), ["{device=\"xvda1\"} 123"]);
}

#[test]
fn what_zfs_gives_back_is_available() {
    let tree = board("pi-5", &[]);
    let text = std::fs::read_to_string(tree.path().join("proc/meminfo")).unwrap();
    let line = |line: &str| {
        let (name, rest) = line.split_once(':').unwrap();
        let kib = match name {
            "MemTotal" => "3884000 kB",
            "MemFree" => "140000 kB",
            "MemAvailable" => "250000 kB",
            "Cached" => "120000 kB",
            _ => rest.trim(),
        };
        format!("{name}: {kib}\n")
    };
    lay(&tree, &[("proc/meminfo", &text.lines().map(line).collect::<String>())]);
    assert_eq!(verdicts(&tree, 60, |_| ()), ["memory_low"]);
    let arc = "9 1 0x01 147 39984 6218372019 98765432101234\nname type data\nc_min 4 124288000\nc_max 4 2903244800\nsize 4 2684354560\n";
    lay(&tree, &[("proc/spl/kstat/zfs/arcstats", arc)]);
    assert_eq!(verdicts(&tree, 60, |_| ()), [""; 0]);
}

/// Sandboxes with a kernel of their own (gVisor) count no CPU time: nothing is known of it, and nothing is fully used.
#[test]
fn time_that_is_not_counted_is_no_time_in_use() {
    let zeros = " 0 0 0 0 0 0 0 0 0 0\n";
    let stat = format!(
        "cpu {zeros}cpu0{zeros}cpu1{zeros}intr 0\nctxt 0\nbtime 1706898049\nprocesses 0\nprocs_running 0\nprocs_blocked 0\n"
    );
    let tree = board("vm", &[("proc/stat", &stat), ("proc/loadavg", "0.00 0.00 0.00 0/0 0\n")]);
    assert_eq!(family(&metrics(&tree), "pi_cpu_usage_percent"), [""; 0]);
    assert_eq!(verdicts(&tree, 90, |_| ()), [""; 0]);
}
