//! What all connections of a server share.

use super::access::Access;
use super::config::Config;
use super::flags;
use super::frames::Policies;
use super::gate::Gate;
use super::tls::Tls;
use crate::agent::Agent;
use crate::cli::Options;
use crate::dashboard;
use std::cell::Cell;
use tokio::sync::{Mutex, Notify};

/// Access control and encryption, from the files that flags name.
#[derive(Debug, Default)]
pub struct Protection {
    /// `None` if every client may ask.
    pub access: Option<Access>,
    /// `None` if the server speaks plain HTTP.
    pub tls: Option<Tls>,
}

impl Protection {
    /// Reads the files.
    ///
    /// # Errors
    /// The file, the line if there is one, and what is wrong.
    pub fn read(options: &Options) -> Result<Self, String> {
        let file = options.value(&flags::CONFIG_FILE);
        let config = if file.is_empty() { Config::default() } else { Config::read(file)? };
        Ok(Protection { tls: Tls::read(config.tls.as_ref())?, access: Access::read(options, config.users)? })
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct State {
    pub agent: &'static Mutex<Agent>,
    /// `None` if every client may ask.
    pub access: Option<Access>,
    /// `None` if the server speaks plain HTTP.
    pub tls: Option<Tls>,
    /// The value of `--web.allowed-hosts`.
    pub hosts: String,
    pub policies: Policies,
    pub gate: Gate,
    /// Whether the agent is shutting down.
    pub ending: Cell<bool>,
    /// Wakes all connections when the agent shuts down.
    pub end: Notify,
    /// Wakes [`Server::stop`](super::Server::stop) when the last connection has closed.
    pub last_closed: Notify,
}

impl State {
    /// Returns the state of a server without connections.
    pub fn new(options: &Options, agent: &'static Mutex<Agent>, protection: Protection) -> Self {
        State {
            agent,
            access: protection.access,
            tls: protection.tls,
            hosts: options.value(&flags::ALLOWED_HOSTS).to_owned(),
            policies: Policies::new(options.value(&flags::FRAME_ANCESTORS), dashboard::page().policy),
            gate: Gate::new(flags::connections_per_address(options)),
            ending: Cell::new(false),
            end: Notify::new(),
            last_closed: Notify::new(),
        }
    }
}
