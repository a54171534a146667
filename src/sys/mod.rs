//! What the standard library does not offer of the system, and the only room with `unsafe` code, each piece behind one safe
//! function. It knows nothing of the agent.

mod child;
mod clock;
mod confine;
mod crash;
mod files;
mod firmware;
mod guard;
mod names;
mod netlink;
mod program;
mod stderr;
mod terminal;
mod thread;
mod writer;

pub use child::{Child, Sink, fork_helper, fork_task, receive, receive_all, send, socket_pair};
pub use clock::{ClockState, await_setting, clock_state, expirations, setting_timer, since_boot, timer, unix_time};
pub use confine::{ARCHITECTURE, filter_system_calls, keep_capabilities, no_new_privs, read_only_below};
pub use crash::report_crashes;
pub use files::{
    Directory, FsStat, file_limit, has_news, is_made_by_kernel, is_procfs, lock, machine, open_place, page_size,
    read_bytes, read_text, statvfs,
};
pub use firmware::{VIDEOCORE_REQUEST, videocore};
pub use guard::{INPUT_MAX, become_nobody, fork_guarded, fork_runner};
pub use names::resolve;
pub use netlink::{join, netlink, receive_from_kernel};
pub use program::{release_program, seal_program};
pub use stderr::{log_without_waiting, write_log};
pub use terminal::{input, output, random, without_echo};
pub use thread::{be_nice, ignore_signal, signals, spawn, watch, watch_for};
pub use writer::{MESSAGE_MAX, ORDER, SECOND, fork_writer, wait_for_message};
