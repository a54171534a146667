//! Odd mounts on this machine's kernel, in a mount namespace of their own.

use crate::agent::BINARY;
use crate::needs;
use std::process::Command;

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
