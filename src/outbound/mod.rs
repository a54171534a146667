//! What leaves the machine: messages about events, and measurements.
//!
//! The agent itself makes no connection. A process that is forked before the agent confines itself, the *courier*, has a confinement
//! of its own: it may connect, and reads no file but those that names need. The agent hands it what happened over a socket pair
//! ([`post`]); the courier decides who is to be told what and when ([`outbox`]), and tells it, in one thread for each receiver
//! ([`courier`]). Without a flag that names a receiver, there is none of this.

pub mod address;
pub mod backlog;
pub mod courier;
mod delta;
pub mod flags;
pub mod homeassistant;
pub mod http;
pub mod mqtt;
pub mod outbox;
pub mod plan;
pub mod post;
mod socket;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;

pub use tls::prepare;

use crate::cli::Options;
use crate::model::Receiver;
use crate::sys;
use plan::Plan;
use post::Post;

/// The kinds of messages between the agent and the courier: the first byte of each.
mod wire {
    /// To the agent, when the courier starts: what happened and what was told is wanted from the beginning.
    pub const HELLO: u8 = b'h';
    /// To the agent: five numbers of 8 bytes for each receiver, and then what the next start has to know.
    pub const STATE: u8 = b's';
    /// To the courier: the newest event that nobody has to be told of, in 8 bytes, and then what it said last.
    pub const KNOWN: u8 = b'k';
    /// To the courier: an event's time of boot in 8 bytes, whether that is known to be right, and its record.
    pub const EVENT: u8 = b'e';
    /// To the courier: the agent is well.
    pub const ALIVE: u8 = b'a';
    /// To the courier: the document of `/json`.
    pub const DOCUMENT: u8 = b'j';
    /// To the courier: Unix time in milliseconds, and the page of `/metrics`.
    pub const METRICS: u8 = b'm';
}

/// Starts the courier if anything is to be sent; returns the agent's side of it, and who gets something. Call it while there is one thread, before the agent
/// confines itself.
///
/// # Errors
/// What is wrong with a flag, or that there can be no more processes.
pub fn start(options: &Options) -> Result<Option<(Post, Vec<Receiver>)>, String> {
    // Most agents send nothing, and need not even bring this code into memory.
    if !flags::any_receiver(options) {
        return Ok(None);
    }
    // It ends with the process, as does what is forked.
    let plan: &'static Plan = Box::leak(Box::new(Plan::read(options)?));
    if plan.routes.is_empty() {
        return Ok(None);
    }
    let socket = sys::fork_guarded(&|socket| courier::work(plan, socket));
    let socket = socket.map_err(|error| format!("cannot start the process that sends: {error}"))?;
    Ok(Some((Post::new(socket, plan), plan.receivers())))
}

/// Checks the flags and the files that they name.
///
/// # Errors
/// What is wrong.
pub fn check(options: &Options) -> Result<(), String> {
    tls::prepare(&Plan::read(options)?)
}
