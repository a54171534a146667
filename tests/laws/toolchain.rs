//! `scripts/lib/toolchain.sh` and `link.pl`: which Rust the scripts take, and in which order functions are linked, as docs/building.md
//! describes.

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

/// Returns the order that `scripts/lib/link.pl` gives the linker for an object file with two functions, if it gives one.
fn order_for(name: &str, list: &str) -> Option<String> {
    let folder = programs(name, &[]);
    std::fs::create_dir_all(&folder).unwrap();
    let (source, object) = (folder.join("two.c"), folder.join("two.o"));
    // The second one has a number, as a copy of a function has.
    let code = "void _RNvCsAbC12_3one3bar(void) {}\nvoid size(void) __asm__(\"_RNvNtCsZ9_3two5sizeB4_.342\");\nvoid size(void) {}\n";
    std::fs::write(&source, code).unwrap();
    assert!(Command::new("cc").arg("-c").arg("-o").args([&object, &source]).status().unwrap().success());
    std::fs::write(folder.join("list"), list).unwrap();
    let output = Command::new("perl")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/link.pl"))
        .arg(folder.join("list"))
        .args(["echo", "-o"])
        .args([folder.join("out"), object])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = String::from_utf8(output.stdout).unwrap();
    let order = words.contains("--symbol-ordering-file=").then(|| std::fs::read_to_string(folder.join("out.order")));
    std::fs::remove_dir_all(folder).unwrap();
    order.map(Result::unwrap)
}

#[test]
fn functions_are_ordered_whatever_their_hashes_are() {
    let list = "# Rust 1.0\n_RNvNtC3two5sizeB_\nmemcpy\n_RNvC3one3bar\n_RNvC3one3old\n";
    assert_eq!(
        order_for("order", list).as_deref(),
        Some("_RNvNtCsZ9_3two5sizeB4_.342\nmemcpy\n_RNvCsAbC12_3one3bar\n")
    );
    let others: String = (0..7).map(|number| format!("_RNvC3one4old{number}\n")).collect();
    assert_eq!(order_for("other", &format!("{others}_RNvC3one3bar\n")), None);
    // No name is in the list in use twice.
    let list = include_str!("../../scripts/lib/order.txt");
    let mut names: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}
