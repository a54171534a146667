//! `scripts/lib/ran.awk`, which shows `scripts/test.sh` which tests a run skipped.

use std::process::Command;

const OUTPUT: &str = "
     Running unittests src/lib.rs (target/debug/deps/pi_monitor-1)

running 3 tests
test a ... ok
test b ... ignored
test c ... ok

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

     Running tests/e2e/main.rs (target/debug/deps/e2e-2)

running 3 tests
test a ... FAILED
test b ... ok
error: test failed, to rerun pass `--test e2e`

Caused by:
  process didn't exit successfully: (signal: 11, SIGSEGV: invalid memory reference)
     Running tests/hostile/main.rs (target/debug/deps/hostile-3)

running 2 tests
test a ... FAILED
test b ... ok

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

";

/// Runs the script over three texts and returns its lines.
fn ran(expected: &str, skipped: &str, output: &str) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("pi-monitor-ran-{}-{}", std::process::id(), output.len()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("awk");
    command.args(["-f", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/ran.awk")]);
    for (name, text) in [("expected", expected), ("skipped", skipped), ("output", output)] {
        std::fs::write(folder.join(name), text).unwrap();
        command.arg(folder.join(name));
    }
    let result = command.output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    String::from_utf8(result.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_did_not_run_is_named() {
    let expected = "src/lib.rs\ntests/e2e/main.rs\ntests/hostile/main.rs\ntests/laws/main.rs\n";
    let skipped = "lint\tpromtool\nmounts\t/dev/fuse\npages\tpromtool\nmounts\t/dev/fuse\n";
    assert_eq!(
        ran(expected, skipped, OUTPUT),
        [
            "3 test binaries: 3 passed, 1 failed",
            "failed in tests/hostile/main.rs: 1",
            "did not run: tests/laws/main.rs",
            "did not end: tests/e2e/main.rs: 2 of 3 tests ended",
            "1 test ignored",
            "2 tests skipped without promtool: lint, pages",
            "1 test skipped without /dev/fuse: mounts",
        ]
    );
}

#[test]
fn nothing_ran_after_an_error_of_the_compiler() {
    assert_eq!(
        ran("src/lib.rs\n", "", "error: could not compile `pi-monitor`\n"),
        ["0 test binaries: 0 passed, 0 failed", "did not run: src/lib.rs"]
    );
}

#[test]
fn checks_of_scripts_are_counted() {
    let output = "pass: one\nskip: Grafana's schema: needs node\nskipped  lintian: skipped: there is no lintian\n1 passed, 0 failed, 2 skipped\n";
    assert_eq!(
        ran("", "", output),
        [
            "1 passed, 0 failed, 2 skipped",
            "skipped: Grafana's schema: needs node",
            "skipped: lintian: skipped: there is no lintian",
        ]
    );
}
