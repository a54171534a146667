//! Services of this machine's kernel, seen by the built binary.

use crate::agent::{Agent, value, wait_until};
use crate::needs;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// A control group with a process that uses the CPU; both go with it.
struct Group {
    path: PathBuf,
    child: Child,
}

impl Group {
    fn new(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        let child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let group = Group { path: path.to_owned(), child };
        fs::write(path.join("cgroup.procs"), group.child.id().to_string()).unwrap();
        group
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The kernel may not have taken the process out yet.
        wait_until("the group is removed", || fs::remove_dir(&self.path).is_ok() || !self.path.exists());
    }
}

#[test]
fn a_service_of_this_kernel_is_counted_and_its_restart_is_noticed() {
    let trees = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let tree = trees.into_iter().find(|tree| tree.join("cgroup.controllers").exists());
    let slice = |tree: &Path| tree.join(format!("pi-monitor-test-{}.slice", std::process::id()));
    let tree = tree.filter(|tree| fs::create_dir(slice(tree)).is_ok());
    let present = needs("a tree of control groups of version 2, and the right to make groups (root)", tree.is_some());
    let Some(tree) = tree.filter(|_| present) else { return };
    let slice = slice(tree);
    let service = slice.join("spin.service");
    // Where the tree is not in its usual place, as in a hybrid, a directory has it there.
    let sys = std::env::temp_dir().join(format!("pi-monitor-services-sys-{}", std::process::id()));
    fs::create_dir_all(sys.join("fs")).unwrap();
    symlink(tree, sys.join("fs/cgroup")).unwrap();
    let path = format!("--path.sysfs={}", sys.display());
    let group = Group::new(&service);
    let agent = Agent::start(&["--collector.disable-defaults", "--collector.services", "--collector.processes", &path]);
    let number = |family: &str| value(&agent.metrics(), &format!("{family}{{service=\"spin\",kind=\"service\"}}"));
    wait_until("it uses the CPU", || number("pi_service_cpu_seconds_total").is_some_and(|used| used > 0.01));
    assert_eq!(number("pi_service_restarts_total"), Some(0.0));
    // The kernel counts memory here if it says so, and not otherwise.
    let counts = fs::read_to_string(tree.join("cgroup.controllers")).unwrap().contains("memory");
    assert_eq!(value(&agent.metrics(), "pi_services_memory_accounting"), Some(f64::from(u8::from(counts))));
    assert_eq!(number("pi_service_memory_bytes").is_some(), service.join("memory.current").exists());
    drop(group);
    wait_until("it is gone", || number("pi_service_cpu_seconds_total").is_none());
    let group = Group::new(&service);
    wait_until("it is back", || number("pi_service_restarts_total") == Some(1.0));
    drop((agent, group));
    fs::remove_dir(slice).unwrap();
    fs::remove_dir_all(sys).unwrap();
}
