//! `scripts/lib/toolchain.sh`: which Rust the scripts take, as docs/building.md describes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOOLCHAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/toolchain.sh");

/// Makes a folder of programs that only answer `--version`.
fn programs(name: &str, answers: &[(&str, &str)]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pi-monitor-toolchain-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (program, answer) in answers {
        let path = folder.join(program);
        std::fs::write(&path, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Returns the compiler that the scripts take if nothing may be fetched.
fn taken(choice: &str, folder: &Path) -> String {
    let output = Command::new("bash")
        .args(["-c", ". \"$0\"; if installed_rust; then echo \"$RUSTC $RUST_KIND\"; else echo none; fi", TOOLCHAIN])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("HOME", folder)
        .env("PI_RUST", choice)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn rust_comes_from_where_it_was_asked_for() {
    let plain = programs("plain", &[("rustc", "rustc 1.999.0 (fake)"), ("cargo", "cargo 1.999.0")]);
    let rustup = programs(
        "rustup",
        &[("rustc", "rustc 1.999.0 (fake)"), ("cargo", "cargo 1.999.0"), ("rustup", "rustup 1.28.0")],
    );
    let old =
        programs("old", &[("rustc", "rustc 1.2.3 (fake)"), ("cargo", "cargo 1.2.3"), ("rustup", "rustup 1.28.0")]);
    for (choice, folder, expected) in [
        ("auto", &plain, format!("{}/rustc plain", plain.display())),
        ("installed", &plain, format!("{}/rustc plain", plain.display())),
        ("auto", &rustup, format!("{}/rustc rustup", rustup.display())),
        ("rustup", &rustup, format!("{}/rustc rustup", rustup.display())),
        ("rustup", &plain, "none".to_owned()),
        ("rustup", &old, "none".to_owned()),
    ] {
        assert_eq!(taken(choice, folder), expected, "PI_RUST={choice} in {}", folder.display());
    }
    // Debian's, if this machine has it, but not what is before it in PATH.
    assert!(!taken("debian", &plain).starts_with(plain.to_str().unwrap()));
    for folder in [plain, rustup, old] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}
