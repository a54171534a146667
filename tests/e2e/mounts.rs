//! Odd mounts on this machine's kernel, in a mount namespace of their own.

use crate::agent::{Agent, BINARY, value};
use crate::card::Card;
use crate::needs;
use std::process::Command;
use std::time::Duration;

/// The mount points below `directory` that an agent tells after `script` has run in a new mount namespace; `None` where this user
/// may not mount.
fn told_after(script: &str) -> Option<Vec<String>> {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !needs("the right to mount (root)", allowed) {
        return None;
    }
    let dir = std::env::temp_dir().join(format!("pi-monitor-mounts-{}-{}", std::process::id(), script.len()));
    std::fs::create_dir_all(&dir).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec"])
        .arg(format!("cd \"$1\"; {script}\nexec \"$0\" print --format json --sample.interval=100ms --collector.disable-defaults --collector.disk"))
        .arg(BINARY)
        .arg(&dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let prefix = format!("{}/", dir.display());
    let points = json["disk"]["filesystems"].as_array().unwrap().iter();
    let mut names: Vec<_> =
        points.filter_map(|it| Some(it["mountpoint"].as_str()?.strip_prefix(&prefix)?.to_owned())).collect();
    names.sort();
    let _ = Command::new("rm").arg("-rf").arg(&dir).status();
    Some(names)
}

#[test]
fn names_with_blanks_backslashes_and_odd_bytes() {
    let script = r#"
        for name in 'My Disk' "$(printf 'tab\there')" "$(printf 'line\nend')" 'back\slash' "$(printf 'caf\351')" '<img src=x onerror=alert(1)>' 'quo"te'; do
            mkdir -p -- "$name"; mount -t tmpfs -o size=64k none "$name"
        done"#;
    let Some(names) = told_after(script) else { return };
    let expected =
        ["<img src=x onerror=alert(1)>", "My Disk", "back\\slash", "caf\\xe9", "line\nend", "quo\"te", "tab\there"];
    assert_eq!(names, expected);
}

#[test]
fn what_is_mounted_over_is_not_told() {
    let script = "
        mkdir -p twice upper
        mount -t tmpfs -o size=64k one twice; mount -t tmpfs -o size=128k two twice
        mount -t tmpfs -o size=64k one upper; mkdir upper/lower; mount -t tmpfs -o size=64k two upper/lower; mount -t tmpfs -o size=64k three upper";
    let Some(names) = told_after(script) else { return };
    assert_eq!(names, ["twice", "upper"]);
}

/// The mount table is read again only when something has changed, so each kind of change has to be seen.
#[test]
fn what_is_mounted_changed_or_unmounted_is_told_by_the_next_scrape() {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !needs("the right to mount (root)", allowed) {
        return;
    }
    let dir = std::env::temp_dir().join(format!("pi-monitor-changes-{}", std::process::id()));
    for name in ["one", "two"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    let agent = Agent::spawn(Command::new("unshare").args(["--mount", "--propagation", "private", BINARY]).args([
        "--web.listen-address=127.0.0.1:0",
        "--collector.disable-defaults",
        "--collector.disk",
    ]));
    let change = |script: &str| {
        let pid = agent.child.id().to_string();
        let shell = ["nsenter", "--mount", "--root", "--target", &pid, "sh", "-ec", script];
        let status = Command::new(shell[0]).args(&shell[1..]).current_dir("/").status().unwrap();
        assert!(status.success(), "{script}");
        // Longer than requests share a collection.
        std::thread::sleep(std::time::Duration::from_millis(120));
        let text = agent.metrics();
        ["one", "two"].map(|name| {
            let mountpoint = dir.join(name).display().to_string();
            let labels = format!("{{device=\"none\",mountpoint=\"{mountpoint}\",fstype=\"tmpfs\"}}");
            value(&text, &format!("pi_disk_total_bytes{labels}"))
                .map(|size| (size, value(&text, &format!("pi_disk_read_only{labels}")) == Some(1.0)))
        })
    };
    let (one, two) = (dir.join("one").display().to_string(), dir.join("two").display().to_string());
    assert_eq!(change("true"), [None, None]);
    for _ in 0..2 {
        assert_eq!(change(&format!("mount -t tmpfs -o size=64k none {one}")), [Some((65_536.0, false)), None]);
        assert_eq!(change("true"), [Some((65_536.0, false)), None]);
        assert_eq!(change(&format!("mount -o remount,size=128k {one}")), [Some((131_072.0, false)), None]);
        assert_eq!(change(&format!("mount -o remount,ro {one}")), [Some((131_072.0, true)), None]);
        assert_eq!(change("true"), [Some((131_072.0, true)), None]);
        assert_eq!(change(&format!("mount -o remount,rw {one}")), [Some((131_072.0, false)), None]);
        assert_eq!(change(&format!("mount --move {one} {two}")), [None, Some((131_072.0, false))]);
        // In another namespace: of this one's mounts none changes, but the filesystem does.
        let elsewhere =
            |option: &str| change(&format!("unshare --mount --propagation private mount -o remount,{option} {two}"));
        assert_eq!(elsewhere("ro"), [None, Some((131_072.0, true))]);
        assert_eq!(elsewhere("rw"), [None, Some((131_072.0, false))]);
        assert_eq!(change(&format!("umount {two}")), [None, None]);
    }
    drop(agent);
    std::fs::remove_dir_all(dir).unwrap();
}

/// They are listed again when the mount table has changed.
#[test]
fn an_ext4_filesystem_that_is_mounted_shows_its_writes() {
    let agent = Agent::start(&["--sample.interval=1h", "--collector.disable-defaults", "--collector.storage"]);
    agent.get("/metrics");
    let folder = std::env::temp_dir().join(format!("pi-monitor-ext4-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let card = Card::new(folder);
    if !needs("an ext4 filesystem on a loop device (root, e2fsprogs)", card.is_some()) {
        return;
    }
    let card = card.unwrap();
    let series = format!("pi_storage_lifetime_written_bytes_total{{device=\"{}\"}}", card.name());
    // At the first time, the kernel has just announced the device, too.
    for (program, words, expected) in [
        ("true", vec![], true),
        ("umount", vec![card.mount().into_os_string()], false),
        ("mount", vec![card.device.clone().into(), card.mount().into_os_string()], true),
    ] {
        assert!(Command::new(program).args(words).status().unwrap().success());
        let is_so = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(110));
            agent.get("/metrics").text().contains(&series) == expected
        });
        assert!(is_so, "after {program}: {}", agent.get("/metrics").text());
        // What is gone is looked for once more.
        std::thread::sleep(Duration::from_millis(110));
        agent.get("/metrics");
    }
}
