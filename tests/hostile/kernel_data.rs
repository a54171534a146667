//! What the kernel may say, or not say at all: filesystems that hang, odd names, garbage, and rights or files that are missing.

use crate::agent::{Agent, BINARY, value, wait_until};
use crate::board::Tree;
use crate::fuse::Fuse;
use crate::namespaces::{own_mounts, own_network, run};
use crate::needs::{has_program, lint, needs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// An empty directory of this test's own.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pi-monitor-hostile-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is still mounted stays in the test's own namespace.
        let _ = Command::new("sh")
            .args(["-c", "umount -R \"$0\"/* 2>/dev/null; rm -rf --one-file-system \"$0\""])
            .arg(&self.0)
            .status();
    }
}

/// The most that a scrape beside mounts that hang may take, and an agent to end. 3 s are promised; the rest is for busy machines.
const LIMIT: Duration = Duration::from_secs(20);

/// `/metrics`, which must come within [`LIMIT`].
#[track_caller]
fn scrape(agent: &Agent) -> String {
    let begin = Instant::now();
    let page = agent.metrics();
    assert!(begin.elapsed() < LIMIT, "{:?} for a scrape", begin.elapsed());
    page
}

/// Whether the mount at `path` has an error, by what a page says.
fn error(page: &str, path: &Path) -> Option<bool> {
    let part = format!("mountpoint=\"{}\",", path.display());
    let line = page.lines().find(|line| line.starts_with("pi_disk_device_error{") && line.contains(&part))?;
    Some(line.ends_with(" 1"))
}

fn children(pid: u32) -> usize {
    let tasks = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    tasks.split_whitespace().count()
}

/// Scrapes an agent beside mounts that hang: others are told, health is well, nothing piles up, SIGTERM ends it, and another agent can take
/// its place; when the mounts answer again, all is well.
fn with_stuck_mounts(fuses: &[Fuse], paths: &[&Path]) {
    let flags = ["--web.listen-address=127.0.0.1:9100"];
    for fuse in fuses {
        fuse.answers(false);
    }
    let mut agent = Agent::spawn(Command::new(BINARY).args(flags));
    let address = agent.address.clone();
    let health = std::thread::spawn(move || {
        let mut times = Vec::new();
        for _ in 0..80 {
            let begin = Instant::now();
            assert_eq!(crate::agent::request(&address, "GET", "/health", &[]).text(), "ok\n");
            times.push((begin, Instant::now()));
            std::thread::sleep(Duration::from_millis(50));
        }
        times
    });
    let begin = Instant::now();
    let page = scrape(&agent);
    let end = Instant::now();
    for path in paths {
        assert_eq!(error(&page, path), Some(true), "{}", path.display());
    }
    assert_eq!(error(&page, Path::new("/")), Some(false));
    for _ in 0..6 {
        let page = scrape(&agent);
        assert!(paths.iter().all(|path| error(&page, path) == Some(true)));
        assert_eq!(error(&page, Path::new("/")), Some(false));
        std::thread::sleep(Duration::from_millis(120));
    }
    assert!(children(agent.child.id()) <= 5, "{} helpers", children(agent.child.id()));
    // The first scrape waited for mounts: /health was asked and answered meanwhile.
    let times = health.join().unwrap();
    let meanwhile = times.iter().filter(|(asked, answered)| *asked > begin && *answered < end).count();
    assert!(meanwhile > 1, "{:?} for the scrape, and {meanwhile} answers meanwhile", end - begin);

    agent.signal("TERM");
    let status = agent.wait(LIMIT).expect("an end");
    assert_eq!(status.code(), Some(0));
    let agent = Agent::spawn(Command::new(BINARY).args(flags));
    scrape(&agent);

    for fuse in fuses {
        fuse.answers(true);
    }
    wait_until("answers of the mounts, without an error", || {
        let page = scrape(&agent);
        paths.iter().all(|path| error(&page, path) == Some(false))
    });
    // A helper that hung is collected by a later scrape.
    wait_until("an end of the other helpers", || {
        scrape(&agent);
        children(agent.child.id()) <= 1
    });
}

#[test]
fn a_stuck_network_mount_and_what_is_mounted_in_it() {
    if !own_mounts() || !own_network() {
        return;
    }
    let directory = Directory::new("nested");
    let outer = directory.path("outer");
    let Some(fuse) = Fuse::mount(&outer, None) else { return };
    run(&format!("mount -t tmpfs -o size=1m inner {}/inner", outer.display()));
    with_stuck_mounts(&[fuse], &[&outer, &outer.join("inner")]);
}

#[test]
fn a_stuck_block_device() {
    if !own_mounts() || !own_network() {
        return;
    }
    let directory = Directory::new("block");
    let image = directory.0.join("image");
    std::fs::write(&image, vec![0; 1 << 20]).unwrap();
    let output = Command::new("losetup").args(["--find", "--show"]).arg(&image).output();
    let device = output.ok().filter(|it| it.status.success()).map(|it| String::from_utf8(it.stdout).unwrap());
    if !needs("a loop device", device.is_some()) {
        return;
    }
    let device = device.unwrap().trim().to_owned();
    let point = directory.path("disk");
    if let Some(fuse) = Fuse::mount(&point, Some(&device)) {
        with_stuck_mounts(&[fuse], &[&point]);
    }
    run(&format!("umount -l {} 2>/dev/null || true; losetup --detach {device}", point.display()));
}

/// A ZFS pool whose disks are gone keeps waiting; played by a mount that hangs behind a line of the mount table that says zfs.
#[test]
fn a_stuck_zfs_pool() {
    if !own_mounts() {
        return;
    }
    let tree = Tree::new("vm");
    let pool = tree.path().join("root/tank");
    std::fs::create_dir_all(&pool).unwrap();
    let mounts = "23 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n24 23 0:45 / /tank rw - zfs tank rw,xattr,noacl\n";
    std::fs::write(tree.path().join("proc/self/mountinfo"), mounts).unwrap();
    let Some(fuse) = Fuse::mount(&pool, None) else { return };
    fuse.answers(false);
    let agent = Agent::start(&tree.flags().each_ref().map(String::as_str));
    for _ in 0..3 {
        let page = scrape(&agent);
        assert_eq!(error(&page, Path::new("/tank")), Some(true));
        assert_eq!(error(&page, Path::new("/")), Some(false));
        assert_eq!(value(&page, "pi_collector_up{collector=\"disk\"}"), Some(1.0));
        assert_eq!(agent.get("/health").text(), "ok\n");
        std::thread::sleep(Duration::from_millis(120));
    }
    fuse.answers(true);
    wait_until("an answer of the pool", || error(&scrape(&agent), Path::new("/tank")) == Some(false));
}

/// A directory of text files on a mount that hangs is not touched, neither by the sandbox nor by the collector; one beside it is read.
#[test]
fn text_files_on_a_stuck_mount() {
    if !own_mounts() || !own_network() {
        return;
    }
    let directory = Directory::new("textfile");
    let stuck = directory.path("stuck");
    let good = directory.path("good");
    std::fs::write(good.join("a.prom"), "a 1\n").unwrap();
    let Some(fuse) = Fuse::mount(&stuck, None) else { return };
    fuse.answers(false);
    let below = format!("--collector.textfile.directory={}/inner", stuck.display());
    let flags = [&stuck, &good].map(|path| format!("--collector.textfile.directory={}", path.display()));
    let agent = Agent::start(&["--no-collector.disk", &flags[0], &flags[1], &below]);
    for _ in 0..3 {
        let page = agent.metrics();
        assert_eq!(value(&page, "a"), Some(1.0));
        assert_eq!(value(&page, "pi_collector_up{collector=\"textfile\"}"), Some(0.0));
    }
    agent.log_line(&format!("{}: on a filesystem that may hang", stuck.display()));
}

#[test]
fn many_stuck_mounts() {
    if !own_mounts() || !own_network() {
        return;
    }
    let directory = Directory::new("many");
    let points: Vec<_> = (0..9).map(|number| directory.path(&number.to_string())).collect();
    let fuses: Option<Vec<_>> = points.iter().map(|point| Fuse::mount(point, None)).collect();
    let Some(fuses) = fuses else { return };
    with_stuck_mounts(&fuses, &points.iter().map(PathBuf::as_path).collect::<Vec<_>>());
}

/// No right to have a second process: what may hang is not asked, everything else is told.
#[test]
fn no_room_for_another_process() {
    if !own_mounts()
        || !own_network()
        || !needs("prlimit and setpriv", has_program("prlimit") && has_program("setpriv"))
    {
        return;
    }
    let directory = Directory::new("tasks");
    let point = directory.path("share");
    let Some(_fuse) = Fuse::mount(&point, None) else { return };
    for limit in ["1", "12"] {
        let agent = Agent::spawn(
            Command::new("setpriv")
                .args(["--reuid=64222", "--regid=64222", "--clear-groups", "prlimit", &format!("--nproc={limit}")])
                .args([&reachable(&directory), "--web.listen-address=127.0.0.1:9100"]),
        );
        for _ in 0..3 {
            let page = scrape(&agent);
            assert_eq!(error(&page, &point), Some(limit == "1"));
            assert_eq!(error(&page, Path::new("/")), Some(false));
            std::thread::sleep(Duration::from_millis(120));
        }
    }
}

/// A copy of the binary where every user can start it. Another process writes it: what is forked while this one has a file open for
/// writing keeps that open until it runs something else, and until then the file cannot be started (ETXTBSY).
fn reachable(directory: &Directory) -> String {
    let copy = directory.0.join("pi-monitor");
    if !copy.exists() {
        run(&format!("cp {BINARY} {0}; chmod 755 {0} {1}", copy.display(), directory.0.display()));
    }
    copy.to_str().unwrap().to_owned()
}

/// What Prometheus and a JSON reader say of an agent's pages.
#[track_caller]
fn assert_pages_parse(agent: &Agent) {
    let page = agent.metrics();
    if needs("promtool", has_program("promtool")) {
        assert_eq!(lint(&page), "");
    }
    assert_series_are_unique(&page);
    agent.json();
}

#[track_caller]
fn assert_series_are_unique(page: &str) {
    let mut series = std::collections::HashSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        assert!(series.insert(line.rsplit_once(' ').unwrap().0), "{line} comes twice");
    }
}

#[test]
fn odd_names_of_interfaces_mounts_and_processes() {
    if !own_mounts() || !own_network() {
        return;
    }
    let directory = Directory::new("names");
    let agent = Agent::spawn(Command::new(BINARY).arg("--web.listen-address=127.0.0.1:9100"));
    let names: [&[u8]; 8] =
        [br#"a"b"#, br"a\b", br"\xff", b"\xff\xfe", b"{}", br#"",x="1"#, b"<script>", "größe".as_bytes()];
    let mut interface: &[u8] = b"lo";
    for name in names {
        use std::os::unix::ffi::OsStrExt;
        let os = std::ffi::OsStr::from_bytes;
        let renamed = Command::new("sh")
            .args(["-ec", "ip link set \"$0\" down; ip link set \"$0\" name \"$1\"; ip link set \"$1\" up"])
            .args([os(interface), os(name)])
            .status();
        assert!(renamed.unwrap().success(), "{}", name.escape_ascii());
        interface = name;
        let point = directory.0.join(os(name));
        std::fs::create_dir(&point).unwrap();
        assert!(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=64k"])
                .arg(os(name))
                .arg(&point)
                .status()
                .unwrap()
                .success()
        );
        std::thread::sleep(Duration::from_millis(120));
        assert_pages_parse(&agent);
        let json = agent.json();
        let label = json["network"]["interfaces"][0]["interface"].as_str().unwrap();
        assert_eq!(decode(label), name);
        let mounts = json["disk"]["filesystems"].as_array().unwrap();
        assert!(mounts.iter().any(|it| decode(it["device"].as_str().unwrap()) == name));
    }
}

/// Turns a label's text back into the kernel's bytes.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes
            .get(at + 2..at + 4)
            .filter(|hex| bytes[at..].starts_with(b"\\x") && hex.iter().all(u8::is_ascii_hexdigit));
        out.push(hex.map_or(bytes[at], |hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap()));
        at += if hex.is_some() { 4 } else { 1 };
    }
    out
}

fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// Whatever bytes a name holds: the page parses, and the label decodes back to it.
#[test]
fn any_bytes_in_any_name() {
    let tree = Tree::new("pi-3a-plus");
    let flags = tree.flags();
    let agent = Agent::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let mut random = numbers(1);
    let pieces: [&[u8]; 14] = [
        b"\"",
        b"\\",
        b"{",
        b"}",
        b",",
        b"=",
        b"x",
        b"ff",
        b"\xff",
        b"\xc3",
        b"\xbc",
        b"\xe2\x80\xa8",
        b"\x01",
        b"\\xff",
    ];
    for round in 0..40 {
        let mut names: Vec<Vec<u8>> = (0..20)
            .map(|_| (0..1 + random() % 6).flat_map(|_| pieces[random() as usize % pieces.len()].to_vec()).collect())
            .collect();
        names.sort();
        names.dedup();
        let mut text = b"Inter-|\n face |\n".to_vec();
        for name in &names {
            text.extend_from_slice(name);
            text.extend_from_slice(b": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        }
        std::fs::write(tree.path().join("proc/net/dev"), text).unwrap();
        std::thread::sleep(Duration::from_millis(110));
        if round % 8 == 0 {
            assert_pages_parse(&agent);
        }
        let page = agent.metrics();
        assert_series_are_unique(&page);
        let json = agent.json();
        let mut told: Vec<_> = json["network"]["interfaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| decode(it["interface"].as_str().unwrap()))
            .collect();
        told.sort();
        assert_eq!(told, names);
    }
}

#[test]
fn one_name_for_two_things() {
    let tree = Tree::new("pi-3a-plus");
    let flags = tree.flags();
    let agent = Agent::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    for file in ["proc/net/dev", "proc/diskstats", "proc/stat", "proc/vmstat", "proc/170/mountinfo"] {
        let path = tree.path().join(file);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, text.repeat(2)).unwrap();
    }
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(110));
        assert_pages_parse(&agent);
        assert!(value(&agent.metrics(), "pi_network_receive_bytes_total{interface=\"usb0\"}").is_some());
    }
}

#[test]
fn garbage_in_every_file() {
    let tree = Tree::new("pi-3a-plus");
    let flags = tree.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let list = Command::new("find").arg(tree.path()).args(["-type", "f", "-size", "-200k"]).output().unwrap();
    let files: Vec<PathBuf> = String::from_utf8(list.stdout).unwrap().lines().map(PathBuf::from).collect();
    assert!(files.len() > 100);
    let good: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut random = numbers(2);
    let begin = std::time::Instant::now();
    let agent = Agent::start(&flags);
    assert_pages_parse(&agent);
    for round in 0..24 {
        for (file, good) in files.iter().zip(&good) {
            let mut text = good.clone();
            match round % 8 {
                0 => text.clear(),
                1 => text = vec![0xff; 300],
                2 => text = vec![0; 5000],
                3 => text = b"18446744073709551616 ".repeat(400),
                4 => text = b"-1\n".repeat(100),
                5 => text.truncate(text.len() / 2),
                6 => text
                    .iter_mut()
                    .filter(|byte| byte.is_ascii_digit())
                    .for_each(|digit| *digit = b'0' + (random() % 10) as u8),
                _ => {
                    for _ in 0..1 + text.len() / 20 {
                        if let Some(byte) = {
                            let length = text.len().max(1);
                            text.get_mut(random() as usize % length)
                        } {
                            *byte = random() as u8;
                        }
                    }
                }
            }
            std::fs::write(file, text).unwrap();
        }
        std::thread::sleep(Duration::from_millis(110));
        assert_pages_parse(&agent);
        assert_eq!(agent.get("/history").status, 200);
        serde_json::from_slice::<serde_json::Value>(&agent.get("/processes").body).unwrap();
        // One that starts amid garbage.
        if round % 6 == 0 {
            assert_pages_parse(&Agent::start(&flags));
        }
    }
    for (file, good) in files.iter().zip(&good) {
        std::fs::write(file, good).unwrap();
    }
    std::thread::sleep(Duration::from_millis(110));
    let page = agent.metrics();
    let down: Vec<_> =
        page.lines().filter(|line| line.starts_with("pi_collector_up{") && line.ends_with(" 0")).collect();
    assert_eq!(down, [""; 0]);
    // Five in ten seconds, however long this takes.
    let most = 5 * (1 + begin.elapsed().as_secs() as usize / 10);
    let lines = agent.log_lines();
    assert!(lines.len() <= most, "{lines:#?}");
}

#[test]
fn hidden_processes_no_rights_and_a_read_only_root() {
    if !own_mounts() || !own_network() || !needs("setpriv", has_program("setpriv")) {
        return;
    }
    let directory = Directory::new("rights");
    let binary = reachable(&directory);
    run("mount -t proc -o hidepid=2 proc /proc; mount -o remount,ro,bind /");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=64223", "--regid=64223", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
    let agent = Agent::spawn(command.args([&binary, "--web.listen-address=127.0.0.1:9100", "--require-sandbox"]));
    assert_pages_parse(&agent);
    for collector in ["cpu", "memory", "network", "system", "disk", "agent"] {
        assert_eq!(value(&agent.metrics(), &format!("pi_collector_up{{collector=\"{collector}\"}}")), Some(1.0));
    }
    assert_eq!(agent.get("/processes").status, 200);
    drop(agent);
    run("mount -o remount,rw,bind /");
}

#[test]
fn empty_proc_and_sys() {
    if !own_mounts() || !own_network() {
        return;
    }
    // The binary is a dynamic one here, and its libraries are elsewhere.
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-ec",
        "mount -t tmpfs none /sys; mount -t tmpfs none /proc; exec \"$0\" \"$@\"",
        BINARY,
    ]);
    let agent = Agent::spawn(command.arg("--web.listen-address=127.0.0.1:9100"));
    for path in ["/health", "/", "/metrics", "/json", "/history", "/events", "/processes", "/runbooks"] {
        assert_eq!(agent.get(path).status, 200, "{path}");
    }
    assert_pages_parse(&agent);
    assert_eq!(value(&agent.metrics(), "pi_collector_up{collector=\"cpu\"}"), Some(0.0));
}

/// Descriptors 0, 1 and 2 that are closed at the start must not become a kernel file or a connection, which log lines would go to.
#[test]
fn closed_standard_descriptors() {
    if !own_network() {
        return;
    }
    let mut command = Command::new("sh");
    let line = "exec \"$0\" --web.listen-address=127.0.0.1:9100 <&- >&- 2>&-";
    let mut child = command.args(["-c", line, BINARY]).spawn().unwrap();
    wait_until("a listening agent", || std::net::TcpStream::connect("127.0.0.1:9100").is_ok());
    assert_eq!(crate::agent::request("127.0.0.1:9100", "GET", "/metrics", &[]).status, 200);
    let open: Vec<_> = (0..3).map(|number| std::fs::read_link(format!("/proc/{}/fd/{number}", child.id()))).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for target in open {
        assert_eq!(target.unwrap(), Path::new("/dev/null"));
    }
}

/// A container with a bridge on its way out, a VPN and an `ifb`: its own end of the wire counts, and is named when the link is lost.
#[test]
fn stacked_interfaces_and_a_lost_link() {
    if !own_mounts() || !own_network() {
        return;
    }
    run("mount -t sysfs none /sys");
    // The other end of the wire is in a network of its own, as for a container.
    let mut elsewhere = Command::new("unshare").args(["--net", "sleep", "400"]).spawn().unwrap();
    let pid = elsewhere.id();
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    wait_until("a network for the other end", || {
        std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other != own)
    });
    run(&format!("ip link add eth0 type veth peer name wire netns {pid}"));
    let far = |line: &str| run(&format!("nsenter --net --target {pid} {line}"));
    run("ip link add br0 type bridge; ip link set eth0 master br0; ip link set eth0 up; ip link set br0 up");
    run("ip addr add 192.0.2.1/24 dev br0; ip link add ifb7 type ifb; ip link set ifb7 up");
    run("ip tuntap add dev vpn0 mode tun; ip link set vpn0 up");
    far("ip link set wire up");
    far("ip addr add 192.0.2.2/24 dev wire");
    let agent = Agent::start(&["--sample.interval=500ms"]);
    let counted = |text: &str| {
        ["lo", "eth0", "br0", "ifb7", "vpn0"]
            .map(|name| value(text, &format!("pi_network_counted{{interface=\"{name}\"}}")))
    };
    let text = agent.metrics();
    assert_eq!(counted(&text), [0.0, 1.0, 0.0, 0.0, 0.0].map(Some));
    assert_eq!(value(&text, "pi_network_carrier{interface=\"eth0\"}"), Some(1.0));
    // A look for a neighbor sends frames, which the wire and the bridge both count.
    let received = |name: &str| {
        value(&agent.metrics(), &format!("pi_network_receive_bytes_total{{interface=\"{name}\"}}")).unwrap()
    };
    wait_until("frames on both", || received("eth0") > 0.0 && received("br0") > 0.0);
    far("ip link set wire down");
    let verdict = || {
        let items = agent.json()["verdicts"]["items"].clone();
        items.as_array().unwrap().iter().find(|item| item["rule"] == "link_down").cloned()
    };
    wait_until("a verdict", || verdict().is_some());
    assert_eq!(verdict().unwrap()["culprit"], "eth0");
    // Somebody takes it down: that is no trouble.
    run("ip link set eth0 down");
    wait_until("no carrier", || value(&agent.metrics(), "pi_network_carrier{interface=\"eth0\"}").is_none());
    wait_until("an end of the verdict", || verdict().is_none());
    elsewhere.kill().unwrap();
    elsewhere.wait().unwrap();
}
