//! Pi-Monitor: a monitor for small Linux computers in one static binary.
//!
//! Data flows in one direction: [`kernel`] reads the kernel's files, a collector in [`collect`] parses them and pushes
//! rows into a [`model::Snapshot`], a module in [`format`](mod@format) turns the snapshot into bytes, and [`server`] sends
//! those. The binary is the product; this library exists so that tests, benchmarks and fuzz targets reach the parts.
//! `ARCHITECTURE.md` explains the design and its laws.

// What every scrape runs keeps its speed in builds for size (scripts/build.sh).
#![cfg_attr(small, feature(optimize_attribute))]

pub mod agent;
pub mod cli;
pub mod collect;
pub mod commands;
pub mod dashboard;
pub mod dialect;
pub mod doctor;
pub mod format;
pub mod history;
pub mod judge;
pub mod kernel;
pub mod model;
pub mod outbound;
pub mod runtime;
pub mod server;
#[allow(unsafe_code, reason = "system calls; each piece of it stands behind one safe function")]
pub mod sys;

/// The version that `--version`, `pi_monitor_build_info` and the HTTP proof of a deployment report.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
