//! The HTTP server: its start and its end. [`listen`] opens the sockets and accepts, [`gate`] decides who gets a slot,
//! [`connection`] serves one client, and [`link`] knows how long it may take for what. [`host`], [`frames`] and [`access`] say
//! who may ask from where. [`routes`] picks what a request gets, as [`negotiate`] reads it, and [`answer`] and [`body`] say it.
//! [`config`] reads the web configuration, and [`tls`] has the bytes below HTTP.

pub mod access;
pub mod answer;
pub mod body;
pub mod config;
pub mod connection;
pub mod flags;
pub mod frames;
pub mod gate;
pub mod host;
pub mod link;
pub mod listen;
pub mod negotiate;
pub mod peer;
pub mod routes;
pub mod state;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub mod tls;
pub mod turns;
#[cfg(feature = "tls")]
mod verifier;

pub use state::Protection;

use crate::agent::Agent;
use crate::cli::Options;
use crate::runtime::sandbox::{CAP_NET_BIND_SERVICE, Needs, Rights};
use crate::runtime::task;
use listen::Door;
use state::State;
use std::time::Duration;
use tokio::sync::Mutex;

/// What serving needs: ports below 1024, and what the address of a host's name is found in.
pub const NEEDS: Needs =
    Needs { paths: "/etc", rights: &Rights { capabilities: CAP_NET_BIND_SERVICE, ..Rights::NONE } };

/// How long requests in flight may take when the agent ends.
const GRACE: Duration = Duration::from_millis(2500);

/// A server at work.
#[derive(Debug)]
pub struct Server(&'static State);

/// Starts to serve `agent` at `doors`. Call it within a [`LocalSet`](tokio::task::LocalSet), which then runs the server.
///
/// # Errors
/// One line that names the address that cannot be served on.
pub fn start(
    options: &Options,
    agent: &'static Mutex<Agent>,
    protection: Protection,
    doors: Vec<Door>,
) -> Result<Server, String> {
    for door in &doors {
        door.listen()?;
    }
    // It serves until the process ends.
    let state: &'static State = Box::leak(Box::new(State::new(options, agent, protection)));
    for door in doors {
        task::spawn(Box::pin(listen::serve(door, state)));
    }
    Ok(Server(state))
}

impl Server {
    /// Accepts nothing more, and waits until all requests in flight are answered or [`GRACE`] is over.
    pub async fn stop(self) {
        let Server(state) = self;
        state.ending.set(true);
        state.end.notify_waiters();
        let drained = async {
            while state.gate.count() > 0 {
                state.last_closed.notified().await;
            }
        };
        let _ = tokio::time::timeout(GRACE, drained).await;
    }
}
