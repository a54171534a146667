//! One line when a collector's data goes bad, one when it recovers, and nothing in between.

use crate::agent::{Agent, value};
use crate::board::Tree;
use std::time::Duration;

#[test]
fn a_fault_is_logged_when_it_comes_changes_and_goes() {
    let tree = Tree::new("pi-3a-plus");
    let agent = Agent::start(&[&tree.flags()[0]]);
    let file = tree.path().join("proc/meminfo");
    let good = std::fs::read(&file).unwrap();
    let up = || {
        // Longer than requests share a collection.
        std::thread::sleep(Duration::from_millis(120));
        value(&agent.metrics(), "pi_collector_up{collector=\"memory\"}").unwrap()
    };
    assert_eq!(up(), 1.0);
    assert_eq!(agent.log_lines(), [""; 0]);

    std::fs::write(&file, "MemTotal: lots kB\n").unwrap();
    assert_eq!((up(), up(), up()), (0.0, 0.0, 0.0));
    let path = file.display();
    let expected = "line 1: expected a name, a number and kB, found \"MemTotal: lots kB\"";
    assert_eq!(agent.log_lines(), [format!("warn: collector memory: {path}: {expected}")]);

    std::fs::write(&file, "").unwrap();
    assert_eq!((up(), up()), (0.0, 0.0));
    assert_eq!(agent.log_lines(), [format!("warn: collector memory: {path}: expected MemTotal, found nothing")]);

    std::fs::write(&file, good).unwrap();
    assert_eq!((up(), up()), (1.0, 1.0));
    assert_eq!(agent.log_lines(), ["info: collector memory: recovered"]);
}
