//! The heartbeat: ends a sample interval again and again.

use super::{Agent, flags};
use crate::cli::Options;
use crate::sys;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

/// A timer of the kernel that strikes at the end of every sample interval.
#[derive(Debug)]
pub struct Heartbeat(AsyncFd<OwnedFd>);

/// Looks at processes if somebody waits for that, and once more beside the ticks if it takes two looks. Call it within a
/// [`tokio::task::LocalSet`].
pub fn look(agent: &Rc<Mutex<Agent>>, busy: &mut Agent) {
    if let Some(pause) = busy.look() {
        tokio::task::spawn_local(second_look(agent.clone(), pause));
    }
}

async fn second_look(agent: Rc<Mutex<Agent>>, pause: std::time::Duration) {
    tokio::time::sleep(pause).await;
    agent.lock().await.look();
}

impl Heartbeat {
    /// Starts the timer. Call it within a runtime.
    ///
    /// # Errors
    /// The kernel gives no timer.
    pub fn new(options: &Options) -> Result<Self, String> {
        let timer = sys::timer(flags::interval(options)).and_then(sys::watch);
        timer.map(Heartbeat).map_err(|error| format!("cannot start the sample timer: {error}"))
    }

    /// Ticks for as long as it is polled, within a [`tokio::task::LocalSet`].
    ///
    /// History counts time in ticks, so missed ones are skipped and the others stay where they are.
    pub async fn run(self, agent: Rc<Mutex<Agent>>) {
        while let Ok(mut ready) = self.0.readable().await {
            if ready.try_io(|timer| sys::expirations(timer.get_ref())).is_ok() {
                let mut busy = agent.lock().await;
                busy.tick();
                look(&agent, &mut busy);
            }
        }
    }
}
