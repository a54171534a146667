//! Hostile networks, kernels and users: what must not bring the agent down, nor let anybody in.
//!
//! Each case is a test against the built binary, bounded in time, in network and mount namespaces of its own where it needs them. What
//! needs root says so and passes where this user is not root, unless `PI_MONITOR_TEST_ALL` is set. `mutations/` shows for each case
//! that it fails without the defence that it is about. Every agent is also held to 16 MB at its worst (`Agent` in `tests/e2e/agent.rs`).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(unsafe_code, reason = "plays what happens to an agent: signals, namespaces, mounts")]

mod access;
#[path = "../e2e/agent.rs"]
#[allow(dead_code, reason = "shared with tests/e2e")]
mod agent;
#[path = "../boards/board.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod board;
mod client;
mod confinement;
mod fuse;
mod kernel_data;
mod life_cycle;
mod namespaces;
#[path = "../e2e/needs.rs"]
#[allow(dead_code, reason = "shared with tests/e2e")]
mod needs;
mod network;
mod sharing;
#[cfg(feature = "tls")]
mod tls;

/// A row that names a text which is there no more, or twice, would show nothing.
#[test]
fn every_mutation_can_be_applied() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/mutations/run.sh");
    let output = std::process::Command::new("bash").args([script, "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
