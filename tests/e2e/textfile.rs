//! Files of other programs: what they hold is on every page, and nothing in them breaks one.

use crate::agent::{Agent, BINARY, value, wait_until};
use crate::needs::lint;
use crate::{has_program, needs};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

/// A directory of its own, which goes with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pi-monitor-textfile-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn start(&self) -> Agent {
        Agent::start(&[&self.flag()])
    }

    fn flag(&self) -> String {
        format!("--collector.textfile.directory={}", self.0.display())
    }

    fn errors(&self, page: &str, name: &str) -> Option<f64> {
        value(page, &format!("pi_textfile_errors{{file=\"{}\"}}", self.0.join(name).display()))
    }

    fn mtime(&self, page: &str, name: &str) -> Option<f64> {
        value(page, &format!("pi_textfile_mtime_seconds{{file=\"{}\"}}", self.0.join(name).display()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const HISTOGRAM: &str = "\
# HELP request_seconds How long requests took.
# TYPE request_seconds histogram
request_seconds_bucket{le=\"0.5\",path=\"/\"} 3
request_seconds_bucket{le=\"+Inf\",path=\"/\"} 4
request_seconds_sum{path=\"/\"} 2.5
request_seconds_count{path=\"/\"} 4
";

#[test]
fn families_of_files_are_on_every_page() {
    let directory = Directory::new("good");
    directory.write("backup.prom", "# HELP backup_size_bytes Size of the last backup.\n# TYPE backup_size_bytes gauge\nbackup_size_bytes{disk=\"a\"} 1.5e9\n");
    directory.write("request.prom", HISTOGRAM);
    directory
        .write("mails.prom", "# TYPE mails counter\nmails 3\n# TYPE mails_sent_total counter\nmails_sent_total 2\n");
    directory.write("notes.txt", "hello\n");
    let agent = directory.start();
    let page = agent.metrics();
    assert!(page.contains("# HELP backup_size_bytes Size of the last backup.\n# TYPE backup_size_bytes gauge\nbackup_size_bytes{disk=\"a\"} 1.5e+9\n"), "{page}");
    assert!(
        page.contains("# TYPE mails counter\nmails 3\n")
            && page.contains(HISTOGRAM.split_once('\n').unwrap().1.split_once('\n').unwrap().1),
        "{page}"
    );
    for name in ["backup.prom", "request.prom", "mails.prom"] {
        assert_eq!(directory.errors(&page, name), Some(0.0), "{name}");
        let metadata = std::fs::metadata(directory.0.join(name)).unwrap();
        let modified = metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((directory.mtime(&page, name).unwrap() - modified).abs() < 1e-3, "{name}");
    }
    assert!(!page.contains("notes.txt") && !page.contains("hello"));
    let open = agent.request("GET", "/metrics", &["Accept: application/openmetrics-text; version=1.0.0"]).text();
    for lines in [
        "# TYPE mails unknown\nmails 3\n",
        "# TYPE mails_sent counter\nmails_sent_total 2\n",
        "# TYPE request_seconds_sum unknown\nrequest_seconds_sum{path=\"/\"} 2.5\n",
    ] {
        assert!(open.contains(lines), "{lines}{open}");
    }
    assert!(open.ends_with("\n# EOF\n"));
    let json = agent.json();
    let metrics = &json["textfile"]["metrics"];
    assert_eq!(metrics["backup_size_bytes"], serde_json::json!([{"labels": {"disk": "a"}, "value": 1.5e9}]));
    assert_eq!(metrics["request_seconds"][3]["name"], "request_seconds_count");
    assert_eq!(json["textfile"]["files"][0]["errors"], 0);
    // A request for other collectors gets none of it.
    let others = agent.get("/metrics?collect[]=cpu").text();
    assert!(!others.contains("backup_size_bytes") && others.contains("pi_cpu_seconds_total"));
    let table = Command::new(BINARY).args(["print", "--sample.interval=100ms", &directory.flag()]).output().unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("\n  backup_size_bytes{disk=\"a\"} 1.5e+9\n"));
    if needs("promtool", has_program("promtool")) {
        // It says that the name of one counter lacks its end, and nothing else.
        assert_eq!(lint(&page), "mails counter metrics should have \"_total\" suffix\n(failed)");
    }
}

#[test]
fn a_bad_file_is_its_own_fault() {
    let directory = Directory::new("bad");
    directory.write("a.prom", "# TYPE a gauge\na{x=\"1\"} 1\n");
    let bad: &[(&str, &[u8])] = &[
        ("b-cut.prom", b"b 1\nb_cut"),
        ("b-crlf.prom", b"b 1\r\n"),
        ("b-latin.prom", b"b{x=\"\xe9\"} 1\n"),
        ("b-time.prom", b"b 1 1700000000000\n"),
        ("b-large.prom", &vec![b'#'; 300 << 10]),
        ("b-type.prom", b"# TYPE a counter\na 1\n"),
        ("b-same.prom", b"a{x=\"1\"} 2\n"),
        ("b-own.prom", b"pi_forks_total 1\nprocess_open_fds 2\npi_forks 3\n"),
        ("b-nul.prom", b"\0\0\0\n"),
    ];
    for (name, text) in bad {
        directory.write(name, text);
    }
    directory.write("c.prom", "# TYPE a gauge\na{x=\"2\"} 3\n");
    std::fs::create_dir(directory.0.join("b-directory.prom")).unwrap();
    symlink("a.prom", directory.0.join("b-link.prom")).unwrap();
    symlink("nowhere", directory.0.join("b-dangling.prom")).unwrap();
    assert!(Command::new("mkfifo").arg(directory.0.join("b-pipe.prom")).status().unwrap().success());
    let agent = directory.start();
    let page = agent.metrics();
    assert!(page.contains("\na{x=\"1\"} 1\na{x=\"2\"} 3\n"), "{page}");
    assert_eq!(value(&page, "pi_collector_up{collector=\"textfile\"}"), Some(1.0));
    for name in ["a.prom", "c.prom"] {
        assert_eq!(directory.errors(&page, name), Some(0.0), "{name}");
    }
    let names =
        bad.iter().map(|(name, _)| *name).chain(["b-directory.prom", "b-link.prom", "b-dangling.prom", "b-pipe.prom"]);
    for name in names {
        assert_eq!(directory.errors(&page, name), Some(if name == "b-own.prom" { 3.0 } else { 1.0 }), "{name}");
        let is_partly_good = matches!(name, "b-type.prom" | "b-same.prom" | "b-own.prom");
        assert_eq!(directory.mtime(&page, name).is_some(), is_partly_good, "{name}");
    }
    assert_eq!(page.matches("# TYPE a ").count(), 1);
    agent.json();
    if needs("promtool", has_program("promtool")) {
        assert_eq!(lint(&page), "");
    }
    let log = agent.log_line("b-crlf.prom");
    let expected = "b-crlf.prom: line 1: expected a line that ends in a newline alone, not in CRLF, found \"b 1\\r\"";
    assert!(log.ends_with(expected), "{log}");
}

#[test]
fn files_in_every_dialect() {
    let directory = Directory::new("dialects");
    let good = "# HELP backup_size_bytes Size.\n# TYPE backup_size_bytes gauge\nbackup_size_bytes 7\n# HELP node_reboot_required 1 if a restart is due.\n\
        # TYPE node_reboot_required gauge\nnode_reboot_required 1\n";
    directory.write("good.prom", good);
    let agent = directory.start();
    let path = |name: &str| directory.0.join(name).display().to_string();
    let failed = |page: &str| value(page, "node_textfile_scrape_error");
    let page = agent.get("/metrics?dialect=node").text();
    assert_eq!(failed(&page), Some(0.0));
    // Names of the dialect's families and those that only the kernel knows, whether this machine has them or not.
    let names = [
        "node_load1",
        "node_memory_Mine_bytes",
        "node_hwmon_x",
        "node_watchdog_access_cs0",
        "node_textfile_scrape_error",
        "node_scrape_collector_success",
        "node_exporter_build_info",
        "node_vmstat_x",
    ];
    let taken: String = names.iter().map(|name| format!("{name} 5\n")).collect();
    directory.write("taken.prom", format!("{taken}# TYPE node_time histogram\nnode_time_seconds 1\nnode_reboot 3\n"));
    let errors = names.len() as f64 + 1.0;
    wait_until("the other file", || directory.errors(&agent.metrics(), "taken.prom") == Some(errors));
    directory.write("bad.prom", "x\n");
    wait_until("the bad file", || directory.errors(&agent.metrics(), "bad.prom") == Some(1.0));
    for dialect in ["pi", "node", "both"] {
        let page = agent.get(&format!("/metrics?dialect={dialect}")).text();
        assert!(page.contains("\nbackup_size_bytes 7\n") && page.contains("\nnode_reboot 3\n"), "{dialect}: {page}");
        assert!(page.contains("# TYPE node_reboot_required gauge\nnode_reboot_required 1\n"), "{dialect}");
        let mut heads: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let count = heads.len();
        heads.sort_unstable();
        heads.dedup_by_key(|line| line.split(' ').nth(2));
        assert_eq!(heads.len(), count, "{dialect}");
        assert_eq!(directory.errors(&page, "taken.prom"), Some(errors), "{dialect}");
        assert_eq!(directory.mtime(&page, "good.prom").is_some(), dialect != "node");
        let modified = |name: &str| value(&page, &format!("node_textfile_mtime_seconds{{file=\"{}\"}}", path(name)));
        let has_file = modified("good.prom").is_some_and(|it| it > 1.7e9);
        assert_eq!((failed(&page), has_file), if dialect == "pi" { (None, false) } else { (Some(1.0), true) });
        assert_eq!(modified("bad.prom"), None);
        if needs("promtool", has_program("promtool")) {
            // It finds some of node_exporter's own names wrong, and what has no head has no help.
            let found = lint(&page);
            let found: Vec<_> =
                found.lines().filter(|line| !line.starts_with("node_") && *line != "(failed)").collect();
            assert_eq!(found, [""; 0], "{dialect}");
        }
    }
    let ask = |query: &str| agent.get(&format!("/metrics?dialect=node&{query}")).text();
    let chosen = ask("collect[]=textfile");
    assert!(
        chosen.contains("\nbackup_size_bytes 7\n") && failed(&chosen) == Some(1.0) && !chosen.contains("node_load1")
    );
    let rest = ask("exclude[]=textfile");
    assert!(!rest.contains("backup_size") && failed(&rest).is_none() && rest.contains("\nnode_load1 "));
    assert!(!ask("collect[]=loadavg").contains("backup_size"));
    // A directory that goes is one that cannot be read.
    std::fs::remove_dir_all(&directory.0).unwrap();
    wait_until("the fault", || {
        failed(&ask("collect[]=textfile")) == Some(1.0) && !agent.metrics().contains("backup_size")
    });
    assert!(ask("collect[]=textfile").contains("node_scrape_collector_success{collector=\"textfile\"} 1\n"));
    let without = Agent::start(&[]);
    assert_eq!(failed(&without.get("/metrics?dialect=node").text()), Some(0.0));
}

#[test]
fn files_are_read_when_they_change() {
    let directory = Directory::new("change");
    directory.write("a.prom", "a 1\n");
    let agent = directory.start();
    let now = || value(&agent.metrics(), "a");
    assert_eq!(now(), Some(1.0));
    // Replaced, as it should be done.
    directory.write("a.prom.new", "a 2\n");
    std::fs::rename(directory.0.join("a.prom.new"), directory.0.join("a.prom")).unwrap();
    wait_until("the new file", || now() == Some(2.0));
    // Written over, in the same length.
    directory.write("a.prom", "a 3\n");
    wait_until("the new text", || now() == Some(3.0));
    directory.write("b.prom", "b 1\n");
    wait_until("another file", || value(&agent.metrics(), "b") == Some(1.0));
    directory.write("a.prom", "a\n");
    wait_until("the fault", || directory.errors(&agent.metrics(), "a.prom") == Some(1.0) && now().is_none());
    std::fs::remove_file(directory.0.join("a.prom")).unwrap();
    wait_until("the end", || directory.errors(&agent.metrics(), "a.prom").is_none());
    assert_eq!(value(&agent.metrics(), "b"), Some(1.0));
    // A directory that goes is the collector's fault, and no other's.
    std::fs::remove_dir_all(&directory.0).unwrap();
    wait_until("the fault", || value(&agent.metrics(), "pi_collector_up{collector=\"textfile\"}") == Some(0.0));
    assert!(value(&agent.metrics(), "pi_boot_time_seconds").is_some());
}

#[test]
fn directories_may_be_several_absent_or_crowded() {
    let (one, other) = (Directory::new("one"), Directory::new("other"));
    one.write("a.prom", "a 1\n");
    other.write("a.prom", "b 1\n");
    let absent = format!("{}/absent", one.0.display());
    let agent = Agent::start(&[&one.flag(), &format!("--collector.textfile.directory={absent}"), &other.flag()]);
    let page = agent.metrics();
    assert_eq!((value(&page, "a"), value(&page, "b")), (Some(1.0), Some(1.0)));
    assert_eq!(value(&page, "pi_collector_up{collector=\"textfile\"}"), Some(0.0));
    agent.log_line(&format!("{absent}: No such file or directory"));
    for number in 0..300 {
        other.write(&format!("x{number:03}.prom"), format!("x{number} 1\n"));
    }
    let page = || agent.metrics();
    // One row for each, and one each for the directories: absent, and too full.
    wait_until("200 files", || page().matches("pi_textfile_errors{").count() == 202 && page().contains("\nx197 1\n"));
    assert!(!page().contains("\nx198 1\n"));
    let output = Command::new(BINARY).arg("--collector.textfile.directory=here").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("--collector.textfile.directory=here: expected an absolute path"), "{text}");
}

#[test]
fn a_file_that_may_not_be_read_is_reported() {
    let other_user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let may = Command::new("setpriv").args(other_user).arg("true").status().is_ok_and(|it| it.success());
    if !needs("the right to become another user (root)", may) {
        return;
    }
    let directory = Directory::new("rights");
    std::fs::set_permissions(&directory.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    directory.write("a.prom", "a 1\n");
    directory.write("b.prom", "b 1\n");
    std::fs::set_permissions(directory.0.join("b.prom"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // Copied by a process of its own: what this one has open for writing, a child of another test may hold, too.
    let script = "cp \"$0\" \"$1\" && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$1\" print --format=prometheus --sample.interval=100ms \"$2\"";
    let output = Command::new("sh")
        .args(["-c", script, BINARY])
        .arg(directory.0.join("pi-monitor"))
        .arg(directory.flag())
        .output()
        .unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert_eq!((value(&page, "a"), value(&page, "b")), (Some(1.0), None));
    assert_eq!((directory.errors(&page, "a.prom"), directory.errors(&page, "b.prom")), (Some(0.0), Some(1.0)));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("b.prom: Permission denied"), "{log}");
}
