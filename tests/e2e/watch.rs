//! What the kernel reports by itself: real causes on this machine's kernel, seen by the built binary.

use crate::agent::{Agent, BINARY, PATIENCE};
use crate::needs::OUT_OF_MEMORY;
use crate::{has_program, needs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Whether a command succeeds, without its output.
fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|it| it.status.success())
}

/// An agent that names each event in its log, in namespaces such as `--net`.
fn start(namespaces: &[&str]) -> Agent {
    const FLAGS: [&str; 4] = [
        "--web.listen-address=127.0.0.1:0",
        "--log.level=debug",
        "--collector.disable-defaults",
        "--collector.processes",
    ];
    if namespaces.is_empty() {
        Agent::start(&FLAGS[1..])
    } else {
        Agent::spawn(Command::new("unshare").args(namespaces).arg(BINARY).args(FLAGS))
    }
}

/// Runs a script in the namespaces of an agent.
fn inside(agent: &Agent, namespace: &str, script: &str) {
    let pid = agent.child.id().to_string();
    let output = Command::new("nsenter")
        .args([namespace, "--root", "--wd", "--target", &pid, "sh", "-ec", script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The events in the log until one holds `part`.
fn events_until(agent: &Agent, part: &str) -> Vec<String> {
    let mut all = Vec::new();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        all.extend(agent.log_lines().into_iter().filter_map(|line| Some(line.split_once("event ")?.1.to_owned())));
        if all.iter().any(|line| line.contains(part)) {
            return all;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no event with {part:?}, but {all:?}");
}

/// An agent in a network of its own; `None` where this user may not make one.
fn in_own_network() -> Option<Agent> {
    let may = needs("the right to make a network namespace (root)", succeeds("unshare", &["--net", "true"]));
    (may && needs("ip", has_program("ip"))).then(|| start(&["--net"]))
}

#[test]
fn interfaces_and_addresses_that_come_and_go() {
    let Some(agent) = in_own_network() else { return };
    inside(
        &agent,
        "--net",
        "ip link add cable type bridge
         ip link set cable up
         ip address add 192.0.2.7/24 dev cable
         ip address add 2001:db8::7/64 dev cable nodad
         ip link add left type veth peer name right
         ip link set left up; ip link set right up
         ip link delete left
         ip address delete 192.0.2.7/24 dev cable
         ip link set cable down
         ip link delete cable",
    );
    let events = events_until(&agent, "cable disappeared");
    let expected = [
        "link info: cable appeared",
        "link info: cable was switched on",
        "address info: cable got the address 192.0.2.7/24",
        "address info: cable got the address 2001:db8::7/64",
        "address info: cable lost the address 192.0.2.7/24",
        "link info: cable was switched off",
        "address info: cable lost the address 2001:db8::7/64",
        "link info: cable disappeared",
    ];
    for part in expected {
        assert_eq!(events.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {events:#?}");
    }
    // A container's ends are none, and neither are addresses of the link alone.
    let network = |line: &&String| line.starts_with("link ") || line.starts_with("address ");
    assert_eq!(events.iter().filter(network).count(), expected.len(), "{events:#?}");
}

/// More than the socket holds: what was lost is found by a new list.
#[test]
fn many_interfaces_at_once_are_all_known_afterwards() {
    let Some(agent) = in_own_network() else { return };
    inside(
        &agent,
        "--net",
        "i=0; while [ $i -lt 40 ]; do echo link add bridge$i type bridge; i=$((i + 1)); done | ip -batch -
         ip link delete bridge39; ip link add last type bridge; ip link delete last",
    );
    let events = events_until(&agent, "More happened than was recorded");
    let shown = events.iter().filter(|line| line.starts_with("link ")).count();
    assert!((10..=30).contains(&shown), "{shown}: {events:#?}");
}

#[test]
fn filesystems_that_come_go_and_turn_read_only() {
    if !needs("the right to mount (root)", succeeds("unshare", &["--mount", "true"])) {
        return;
    }
    let directory = std::env::temp_dir().join(format!("pi-monitor-watch-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("one")).unwrap();
    let point = directory.join("one").display().to_string();
    let agent = start(&["--mount", "--propagation", "private"]);
    let step = |script: &str, expected: &str| {
        inside(&agent, "--mount", script);
        let events = events_until(&agent, expected);
        // Other tests break filesystems at the same time, which this mount namespace may know.
        let ours = events.iter().filter(|line| line.starts_with("mount ") && line.contains(&point));
        assert_eq!(ours.count(), 1, "{events:#?}");
    };
    step(&format!("mount -t tmpfs -o size=64k none '{point}'"), &format!("mount info: {point} was mounted"));
    // A bind of a filesystem that is mounted already is no event.
    let bind = format!("mkdir '{point}/bind'; mount --bind '{point}' '{point}/bind'; umount '{point}/bind'");
    inside(&agent, "--mount", &bind);
    step(&format!("mount -o remount,ro '{point}'"), &format!("mount warning: {point} became read-only"));
    step(&format!("umount '{point}'"), &format!("mount info: {point} was unmounted"));
    drop(agent);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Whether the kernel's log may be read.
fn has_log() -> bool {
    std::fs::File::open("/dev/kmsg").is_ok()
}

/// A loop device on a file, with a filesystem that is mounted, or on a disk that has no room; taken down when dropped.
struct Image {
    directory: PathBuf,
    device: String,
}

impl Image {
    /// A directory for a loop device, and one to mount something at.
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pi-monitor-image-{name}-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("mount")).unwrap();
        Image { directory, device: String::new() }
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Makes a file of 8 MB the loop device; returns whether that works.
    fn attach(&mut self, file: &str) -> bool {
        let file = self.path(file);
        if std::fs::File::create(&file).and_then(|file| file.set_len(8 << 20)).is_err() {
            return false;
        }
        let Ok(device) = Command::new("losetup").args(["--find", "--show", &file]).output() else { return false };
        self.device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
        !self.device.is_empty()
    }

    /// An ext4 filesystem.
    fn filesystem() -> Option<Self> {
        let mut image = Image::new("filesystem");
        let works = image.attach("image")
            && succeeds("mkfs.ext4", &["-q", "-F", &image.device])
            && succeeds("mount", &[&image.device, &image.path("mount")]);
        works.then_some(image)
    }

    /// A disk whose blocks cannot be written: what is behind them is full.
    fn broken_disk() -> Option<Self> {
        let mut image = Image::new("disk");
        let full = ["-t", "tmpfs", "-o", "size=16k", "none", &image.path("mount")].map(str::to_owned);
        let works = succeeds("mount", &full.each_ref().map(String::as_str)) && image.attach("mount/image");
        works.then_some(image)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Of a disk, the mount holds the device; of a filesystem, the device holds the mount.
        let unmount = || succeeds("umount", &[&self.path("mount")]);
        let unmounted = unmount();
        succeeds("losetup", &["--detach", &self.device]);
        if !unmounted {
            unmount();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What a program writes into the kernel's log is not believed; what the kernel itself says is.
#[test]
fn errors_of_a_filesystem_are_reported_and_forged_ones_are_not() {
    if !needs("the right to read the kernel's log", has_log()) {
        return;
    }
    let image = Image::filesystem();
    if !needs("an ext4 filesystem on a loop device (root, e2fsprogs)", image.is_some()) {
        return;
    }
    let image = image.unwrap();
    let name = image.device.trim_start_matches("/dev/").to_owned();
    let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
    if !needs("trigger_fs_error of ext4", Path::new(&trigger).exists()) {
        return;
    }
    let agent = start(&[]);
    for line in [
        "<3>I/O error, dev forged, sector 1",
        "<2>EXT4-fs error (device forged): x",
        "Out of memory: Killed process 1 (forged) total-vm:1kB",
    ] {
        std::fs::write("/dev/kmsg", line).unwrap();
    }
    std::fs::write(&trigger, "a test").unwrap();
    let expected = format!("filesystem_error critical: The filesystem on {name} has an error");
    let events = events_until(&agent, &expected);
    assert!(!events.iter().any(|line| line.contains("forged")), "{events:#?}");
}

/// A real error of a block device, as the kernel logs it. That the device came is no event: it is a file.
#[test]
fn errors_of_a_disk_are_reported() {
    if !needs("the right to read the kernel's log", has_log()) {
        return;
    }
    let agent = start(&[]);
    let image = Image::broken_disk();
    if !needs("a loop device on a full disk (root)", image.is_some()) {
        return;
    }
    let image = image.unwrap();
    let name = image.device.trim_start_matches("/dev/").to_owned();
    let output = format!("of={}", image.device);
    assert!(!succeeds("dd", &["if=/dev/zero", &output, "bs=64k", "count=16", "oflag=direct"]), "it can be written");
    let expected = format!("storage_error critical: {name} reported an I/O error");
    let events = events_until(&agent, &expected);
    assert!(!events.iter().any(|line| line.starts_with("device ")), "{events:#?}");
}

/// A process that waits for a disk for long: the filesystem is frozen while it writes. How long is long, the kernel is asked to see
/// sooner.
#[test]
fn a_process_that_hangs_in_the_kernel_is_reported() {
    const LIMIT: &str = "/proc/sys/kernel/hung_task_timeout_secs";
    const CHECK: &str = "/proc/sys/kernel/hung_task_check_interval_secs";
    const WARNINGS: &str = "/proc/sys/kernel/hung_task_warnings";
    struct Settings(Vec<(&'static str, String)>);
    impl Drop for Settings {
        fn drop(&mut self) {
            for (file, value) in &self.0 {
                let _ = std::fs::write(file, value);
            }
        }
    }
    if !needs("the right to read the kernel's log", has_log()) {
        return;
    }
    let read = |file| Some((file, std::fs::read_to_string(file).ok()?));
    let settings = Settings([LIMIT, CHECK, WARNINGS].into_iter().filter_map(read).collect());
    let no_panic = std::fs::read_to_string("/proc/sys/kernel/hung_task_panic").is_ok_and(|text| text == "0\n");
    let can = no_panic && settings.0.len() == 3 && std::fs::write(WARNINGS, "10").is_ok();
    if !needs("a kernel that looks for processes that hang (root)", can) {
        return;
    }
    let image = Image::filesystem();
    if !needs("an ext4 filesystem on a loop device (root, e2fsprogs)", image.is_some()) {
        return;
    }
    let image = image.unwrap();
    let mount = image.path("mount");
    let agent = start(&[]);
    assert!(succeeds("fsfreeze", &["--freeze", &mount]));
    let mut child = Command::new("touch").arg(format!("{mount}/file")).spawn().unwrap();
    std::fs::write(LIMIT, "1").unwrap();
    std::fs::write(CHECK, "1").unwrap();
    let thaw = || assert!(succeeds("fsfreeze", &["--unfreeze", &mount]));
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        events_until(&agent, "stall warning: A process was blocked for minutes")
    }));
    thaw();
    let _ = child.wait();
    assert!(seen.is_ok_and(|events| events.iter().any(|line| line.contains("INFO: task touch:"))));
}

/// A control group with a limit of 24 MB, in whichever version there is.
fn limited_group() -> Option<(PathBuf, &'static str)> {
    let name = format!("pi-monitor-test-{}", std::process::id());
    for (root, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
        let group = Path::new(root).join(&name);
        if std::fs::create_dir(&group).is_ok() {
            if std::fs::write(group.join(limit), "24000000").is_ok() {
                return Some((group, "cgroup.procs"));
            }
            let _ = std::fs::remove_dir(&group);
        }
    }
    None
}

#[test]
fn a_process_that_is_killed_for_its_limit_is_named_with_it() {
    if !needs("the right to read the kernel's log", has_log()) {
        return;
    }
    let _lock = OUT_OF_MEMORY.lock();
    let group = limited_group();
    if !needs("a control group with a memory limit (root)", group.is_some()) {
        return;
    }
    let (group, members) = group.unwrap();
    let agent = start(&[]);
    // It keeps all of a line that never ends.
    let script = format!("echo $$ >'{}/{members}'; exec tail /dev/zero", group.display());
    let _ = Command::new("sh").args(["-c", &script]).output().unwrap();
    let events = events_until(&agent, "oom_kill critical: tail was killed for lack of memory");
    let line = events.iter().find(|line| line.starts_with("oom_kill")).unwrap();
    let name = group.file_name().unwrap().to_str().unwrap();
    assert!(line.contains("reached the memory limit of ") && line.contains(name), "{line}");
    // The record has it.
    let response = agent.get("/events");
    let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let mut kills = json["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "oom_kill");
    assert!(kills.any(|event| event["culprit"] == "tail" && event["severity"] == "critical"), "{json}");
    std::fs::remove_dir(&group).unwrap();
}

/// Programs that use all CPUs; ended when dropped.
struct Load(Vec<Child>);

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_stall_is_reported_while_it_lasts() {
    let trigger = std::fs::OpenOptions::new().read(true).write(true).open("/proc/pressure/cpu");
    let may = trigger.is_ok_and(|mut file| std::io::Write::write_all(&mut file, b"some 1800000 2000000\0").is_ok());
    if !needs("pressure triggers of the kernel", may) {
        return;
    }
    let agent = start(&[]);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let load = Load((0..cpus * 3).map(|_| spin()).collect());
    events_until(&agent, "stall info: Processes waited for a CPU");
    drop(load);
}

/// The sources wake nobody while nothing happens: the ticks alone do, twice in a second here.
#[test]
fn a_quiet_machine_wakes_nobody() {
    if !needs("the right to make namespaces (root)", succeeds("unshare", &["--net", "--mount", "true"])) {
        return;
    }
    let agent = Agent::spawn(Command::new("unshare").args(["--net", "--mount", BINARY]).args([
        "--web.listen-address=127.0.0.1:0",
        "--collector.disable-defaults",
        "--sample.interval=500ms",
    ]));
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().last().unwrap().parse::<u32>().unwrap()
    };
    std::thread::sleep(Duration::from_secs(1));
    // Other tests, and containers beside them, cause events that this machine's kernel has for all: one quiet stretch is enough.
    let mut counts = Vec::new();
    while counts.len() < 6 && !counts.iter().any(|count| (10..40).contains(count)) {
        let before = switches();
        std::thread::sleep(Duration::from_secs(10));
        counts.push(switches() - before);
    }
    assert!(counts.iter().any(|count| (10..40).contains(count)), "{counts:?} in 10 s each");
}
