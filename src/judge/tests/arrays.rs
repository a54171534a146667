//! Arrays of disks.

use super::bench::*;

/// Too few disks were there after a boot, or they disagree. A container of firmware RAID is never started.
#[test]
fn an_array_that_was_not_started_is_trouble() {
    let mut bench = Bench::new("inactive");
    crate::kernel::let_absence_end();
    let text = |line: &str, external: &str| {
        format!(
            "Personalities : [raid1]\n{line}\n      1953382464 blocks super {external}\n       \nunused devices: <none>\n"
        )
    };
    let mut at = |text: String| {
        write(&bench.directory, "proc/mdstat", &text);
        (0..70)
            .map(|_| bench.tick())
            .last()
            .unwrap()
            .items()
            .map(|it| (it.rule.name, it.title.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(at(text("md127 : inactive sdb[1](S) sda[0](S)", "external:imsm")), []);
    assert_eq!(at(text("md0 : inactive sdb1[1](S)", "1.2")), [("raid_degraded", "md0 is not running".to_owned())]);
    // The array in a container is one like others.
    assert_eq!(at(text("md126 : active raid1 sda[1] sdb[0]", "external:/md127/0 [2/2] [UU]")), []);
    assert_eq!(
        at(text("md126 : inactive sda[1](S)", "external:-md127/0")),
        [("raid_degraded", "md126 is not running".to_owned())]
    );
}
