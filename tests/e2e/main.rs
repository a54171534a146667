//! The built binary as a user meets it: started, asked over HTTP, given bad input, stopped.
//!
//! Tests that need another program (promtool, node_exporter) or a right (to mount) say so and pass where it is missing, unless
//! `PI_MONITOR_TEST_ALL` is set, as the test command does after it has installed everything.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod agent;
#[path = "../boards/board.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod board;
mod book;
mod card;
mod command_line;
mod crash;
mod dialect;
mod doctor;
mod events;
mod first_answer;
mod http;
mod interfaces;
mod journal;
mod listening;
mod logs;
mod mounts;
mod needs;
mod node_exporter;
mod outbound;
mod prometheus;
mod services;
mod textfile;
mod verdicts;
mod watch;

use needs::{has_program, needs};
