//! Trees of groups in files, with the kernel's text.

use super::*;
use crate::model::Moment;
use std::fs;

const ID: &str = "3fa1c7d2b0c49e5f8a6b1c2d3e4f50617283948596a7b8c9daebfc0d1e2f3041";
const OTHER: &str = "9bd204a7c1e8f36d5b2a4c9e8f7061524334251607f8e9dacbbcad9e8f706152";

/// A row's labels and values.
type Row = (String, Vec<Option<f64>>);

/// A tree of groups in files, and the collector that reads it.
struct Bench {
    dir: PathBuf,
    services: Services,
    now: u64,
}

impl Bench {
    fn new(name: &str, controllers: Option<&str>, names_processes: bool) -> Self {
        let dir = std::env::temp_dir().join(format!("pi-monitor-services-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("sys/fs/cgroup")).unwrap();
        if let Some(text) = controllers {
            fs::write(dir.join("sys/fs/cgroup/cgroup.controllers"), text).unwrap();
        }
        let roots = Roots { proc: dir.join("proc"), sys: dir.join("sys"), root: dir.join("root") };
        fs::create_dir_all(dir.join("root").join(crate::kernel::engines::DOCKER)).unwrap();
        Bench { services: Services::new(&roots, names_processes), dir, now: 1000 }
    }

    fn group(&self, name: &str) -> PathBuf {
        self.dir.join("sys/fs/cgroup").join(name)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a group, which is another one than any before it.
    fn make(&self, name: &str, usec: u64) {
        let group = format!("sys/fs/cgroup/{name}");
        if self.group(name).exists() {
            // The directory's number stays in use.
            fs::create_dir_all(self.dir.join("old")).unwrap();
            let old = fs::read_dir(self.dir.join("old")).unwrap().count();
            fs::rename(self.group(name), self.dir.join(format!("old/{old}"))).unwrap();
        }
        self.write(&format!("{group}/cpu.stat"), &format!("usage_usec {usec}\nuser_usec 1\nsystem_usec 1\n"));
        self.write(&format!("{group}/cgroup.events"), "populated 1\nfrozen 0\n");
    }

    /// What is reported when the tree is looked at again: the values of each row, and how many are left out.
    fn rows(&mut self) -> (Vec<Row>, Option<f64>) {
        self.now += LOOK.as_secs();
        let mut out = Snapshot::new();
        out.register("services", COLLECTOR.tables);
        out.clear(Moment::default());
        out.select(0);
        if self.services.tree.is_some() {
            self.services.report(Duration::from_secs(self.now), &mut out).unwrap();
        }
        let [state, rows] = &out.parts()[0].sections[..] else { panic!() };
        let values = |row: crate::model::Row<'_>| row.values().iter().map(|value| value.to_f64()).collect();
        let rows = rows.rows().map(|row| (row.labels().collect::<Vec<_>>().join(" "), values(row))).collect();
        (rows, state.values().get(1).and_then(|left| left.to_f64()))
    }

    fn names(&mut self) -> Vec<String> {
        self.rows().0.into_iter().map(|(name, _)| name).collect()
    }

    /// How often a service was restarted; `None` if it is not reported.
    fn restarts(&mut self, name: &str) -> Option<f64> {
        self.rows().0.into_iter().find(|(found, _)| found == name)?.1[10]
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn groups_are_what_their_names_say() {
    let scope = format!("system.slice/docker-{ID}.scope");
    let pod = format!("kubepods.slice/kubepods-besteffort.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope");
    let cases = [
        ("", Group::Above),
        ("system.slice", Group::Above),
        ("system.slice/ssh.service", Group::Of(SERVICE)),
        ("system.slice/system-getty.slice/getty@tty1.service", Group::Of(SERVICE)),
        ("system.slice/wg-quick@wg0.service", Group::Of(SERVICE)),
        ("system.slice/sshd@7-192.168.1.9:22-192.168.1.30:50514.service", Group::Other),
        ("system.slice/systemd-coredump@0-4321-0.service", Group::Other),
        ("system.slice/boot-firmware.mount", Group::Other),
        ("system.slice/dbus.socket", Group::Other),
        ("init.scope", Group::Other),
        ("user.slice/user-1000.slice/session-3.scope", Group::Other),
        ("user.slice/user-1000.slice/user@1000.service", Group::Above),
        ("user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service", Group::Of(USER)),
        ("openrc.sshd", Group::Of(SERVICE)),
        ("lxc.payload.web", Group::Of(CONTAINER)),
        ("lxc.monitor.web", Group::Other),
        ("docker", Group::Above),
        (&format!("docker/{ID}"), Group::Of(CONTAINER)),
        (&scope, Group::Of(CONTAINER)),
        (&pod, Group::Of(CONTAINER)),
        (&format!("machine.slice/libpod-conmon-{ID}.scope"), Group::Other),
    ];
    let root = Path::new("/sys/fs/cgroup");
    for (name, expected) in cases {
        let path = if name.is_empty() { root.to_owned() } else { root.join(name) };
        assert_eq!(classify(&path, root.as_os_str().len()), expected, "{name}");
    }
}

#[test]
fn each_file_is_one_value_and_an_absent_file_is_none() {
    let mut bench = Bench::new("values", Some("cpuset cpu io memory pids\n"), true);
    bench.make("system.slice/db.service", 12_345_678);
    assert_eq!(
        bench.rows().0,
        [("db service".to_owned(), {
            let mut values = vec![None; 11];
            (values[0], values[10]) = (Some(12.345_678), Some(0.0));
            values
        })]
    );
    let group = "sys/fs/cgroup/system.slice/db.service";
    bench.write(&format!("{group}/memory.current"), "501219328\n");
    bench.write(&format!("{group}/memory.max"), "536870912\n");
    bench.write(&format!("{group}/memory.events"), "low 0\nhigh 3\nmax 512\noom 2\noom_kill 1\noom_group_kill 0\n");
    bench.write(&format!("{group}/io.stat"), "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n");
    bench.write(&format!("{group}/pids.current"), "31\n");
    let values = [12.345_678, 501_219_328.0, 536_870_912.0, 3.0, 512.0, 2.0, 1.0, 4096.0, 8192.0, 31.0, 0.0];
    assert_eq!(bench.rows().0[0].1, values.map(Some));
    bench.write(&format!("{group}/memory.max"), "max\n");
    assert_eq!(bench.rows().0[0].1[2], None);
    // A kernel with `cgroup_disable=memory`.
    bench.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
    let rows = bench.rows().0;
    assert_eq!(rows[0].1[1..7], [None; 6]);
    assert!(!bench.services.counts_memory);
}

#[test]
fn the_trees_of_version_1_and_a_hybrid_say_nothing() {
    let mut bench = Bench::new("hybrid", None, true);
    bench.make("unified/system.slice/ssh.service", 1);
    bench.make("memory/system.slice/ssh.service", 1);
    assert_eq!(bench.rows(), (vec![], None));
}

#[test]
fn a_container_without_groups_below_its_own_says_nothing() {
    let mut bench = Bench::new("inside", Some("cpu io memory pids\n"), true);
    bench.write("sys/fs/cgroup/cpu.stat", "usage_usec 1\n");
    assert_eq!(bench.rows(), (vec![], None));
}

#[test]
fn another_group_of_the_same_name_is_a_restart() {
    let mut bench = Bench::new("restarts", Some("cpu pids\n"), true);
    let (ssh, group) = ("ssh service", "system.slice/ssh.service");
    bench.make(group, 5_000_000);
    assert_eq!(bench.restarts(ssh), Some(0.0));
    bench.make(group, 9_000_000);
    assert_eq!(bench.restarts(ssh), Some(1.0));
    assert_eq!(bench.restarts(ssh), Some(1.0));
    // It stops, with its group left empty, and starts again.
    bench.write(&format!("sys/fs/cgroup/{group}/cgroup.events"), "populated 0\nfrozen 0\n");
    assert_eq!(bench.restarts(ssh), None);
    bench.write(&format!("sys/fs/cgroup/{group}/cgroup.events"), "populated 1\nfrozen 0\n");
    assert_eq!(bench.restarts(ssh), Some(2.0));
    // It stops, and after a while it is forgotten.
    fs::rename(bench.group(group), bench.dir.join("gone")).unwrap();
    assert_eq!(bench.restarts(ssh), None);
    bench.now += GONE_FOR.as_secs();
    assert_eq!(bench.restarts(ssh), None);
    assert_eq!(bench.services.all.len(), 0);
    bench.make(group, 1);
    assert_eq!(bench.restarts(ssh), Some(0.0));
}

#[test]
fn one_that_vanishes_between_two_looks_has_no_row() {
    let mut bench = Bench::new("vanishes", Some("cpu pids\n"), true);
    bench.make("system.slice/a.service", 1);
    bench.make("system.slice/b.service", 1);
    assert_eq!(bench.names(), ["a service", "b service"]);
    fs::rename(bench.group("system.slice/a.service"), bench.dir.join("gone")).unwrap();
    bench.now -= LOOK.as_secs();
    assert_eq!(bench.names(), ["b service"]);
}

#[test]
fn a_container_keeps_its_name_and_without_one_has_that_of_its_main_process() {
    let mut bench = Bench::new("containers", Some("cpu pids\n"), true);
    let scope = |id: &str| format!("system.slice/docker-{id}.scope");
    let config = |id: &str| format!("root/{}/{id}/config.v2.json", crate::kernel::engines::DOCKER);
    bench.write(&config(ID), r#"{"Name":"/web","Driver":"overlay2"}"#);
    bench.make(&scope(ID), 1);
    assert_eq!(bench.names(), ["web container"]);
    // It is made anew from another image, with another ID.
    bench.write(&config(OTHER), r#"{"Name":"/web","Driver":"overlay2"}"#);
    fs::rename(bench.group(&scope(ID)), bench.dir.join("gone")).unwrap();
    bench.make(&scope(OTHER), 1);
    assert_eq!(bench.restarts("web container"), Some(1.0));
    // Another engine's container of the same name is another one, and no restart.
    bench.make(&scope(ID), 1);
    for _ in 0..2 {
        assert_eq!(bench.names(), ["3fa1c7d2b0c4 container", "web container"]);
        assert_eq!(bench.restarts("web container"), Some(1.0));
    }
    for (names_processes, expected) in [(true, "3fa1c7d2b0c4 postgres container"), (false, "3fa1c7d2b0c4 container")] {
        let mut bench = Bench::new("unnamed", Some("cpu pids\n"), names_processes);
        bench.write(&format!("sys/fs/cgroup/{}/cgroup.procs", scope(ID)), "2817\n2904\n");
        bench.make(&scope(ID), 1);
        bench.write(&format!("sys/fs/cgroup/{}/cgroup.procs", scope(ID)), "2817\n2904\n");
        if names_processes {
            bench.write("proc/2817/comm", "runc:[2:INIT]\n");
            assert_eq!(bench.names(), [] as [&str; 0], "its engine has not begun the program");
        }
        bench.write("proc/2817/comm", "postgres\n");
        assert_eq!(bench.names(), [expected]);
    }
}

#[test]
fn of_too_many_those_that_use_most_or_were_in_trouble_are_reported() {
    let mut bench = Bench::new("many", Some("cpu memory pids\n"), true);
    const COUNT: usize = FOLLOWED_MAX + 44;
    for number in 0..COUNT {
        bench.make(&format!("system.slice/s{number:03}.service"), 1000 * number as u64);
    }
    let (rows, left_out) = bench.rows();
    assert_eq!((rows.len(), left_out), (SHOWN_MAX, Some((COUNT - SHOWN_MAX) as f64)));
    assert_eq!(bench.services.all.len(), FOLLOWED_MAX);
    let mut used: Vec<_> = bench.services.all.iter().map(|service| service.name.clone()).collect();
    used.sort();
    let busiest: Vec<_> = used[FOLLOWED_MAX - SHOWN_MAX..]
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned() + " service")
        .collect();
    assert_eq!(bench.names(), busiest);
    // One that uses least lost a process, and another uses a little more than one that is reported.
    let least = String::from_utf8(used[0].clone()).unwrap();
    bench.write(&format!("sys/fs/cgroup/system.slice/{least}.service/memory.events"), "oom_kill 1\n");
    let next = String::from_utf8(used[FOLLOWED_MAX - SHOWN_MAX - 1].clone()).unwrap();
    bench.write(&format!("sys/fs/cgroup/system.slice/{next}.service/cpu.stat"), "usage_usec 299999\n");
    let names = bench.names();
    assert_eq!(names[0], format!("{least} service"));
    assert!(!names.contains(&format!("{next} service")));
    assert_eq!(names.len(), SHOWN_MAX);
}
