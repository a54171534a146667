//! The heartbeat: ends a sample interval again and again, and listens to what the kernel reports in between.

use super::{Agent, flags};
use crate::cli::Options;
use crate::collect::{self, processes::PROCESSES};
use crate::kernel::watch::{Wanted, Watch};
use crate::kernel::{Machine, Roots};
use crate::model::Note;
use crate::runtime::task;
use crate::sys;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

/// Opens what wakes the agent when something happens. Call it before the agent confines itself.
pub fn watch(options: &Options, machine: Machine) -> Watch {
    let wanted = Wanted {
        machine,
        filesystems: Box::new(collect::wanted_filesystems(options)),
        processes: collect::is_enabled(options, &PROCESSES),
    };
    Watch::open(&Roots::new(options), wanted)
}

/// After how many ticks the program's code leaves memory, but for what runs from then on: when the start is over, and at times
/// afterwards, since a request for every page brings most of it back.
const RELEASE_FIRST: u32 = 4;
const RELEASE_EVERY: u32 = 1024;

/// Follows what happens to the agent.
pub type Follow = Box<dyn FnMut(&mut Agent)>;

/// What is ready.
#[derive(Clone, Copy, Debug)]
enum Woken {
    Timer,
    Source(usize),
}

/// A timer of the kernel that strikes at the end of every sample interval, and the sources of events beside it.
#[derive(Debug)]
pub struct Heartbeat {
    watch: Watch,
    ready: Vec<(Woken, AsyncFd<OwnedFd>)>,
}

/// Looks at processes if somebody waits for that, and once more beside the ticks if it takes two looks. Call it within a
/// [`tokio::task::LocalSet`].
pub fn look(agent: &'static Mutex<Agent>, busy: &mut Agent) {
    if let Some(pause) = busy.look() {
        task::spawn(Box::pin(second_look(agent, pause)));
    }
}

async fn second_look(agent: &'static Mutex<Agent>, pause: std::time::Duration) {
    tokio::time::sleep(pause).await;
    agent.lock().await.look();
}

/// Hands over what a source reported.
fn take(agent: &mut Agent, note: Note<'_>) {
    let Note { kind, severity, title, detail, .. } = note;
    crate::debug!("event {} {}: {title}: {detail}", kind.name, severity.name());
    agent.note(note);
}

impl Heartbeat {
    /// Starts the timer. Call it within a runtime.
    ///
    /// # Errors
    /// The kernel gives no timer.
    pub fn new(options: &Options, watch: Watch) -> Result<Self, String> {
        let timer = sys::timer(flags::interval(options)).and_then(sys::watch);
        let mut ready = vec![(Woken::Timer, timer.map_err(|error| format!("cannot start the sample timer: {error}"))?)];
        watch.each(&mut |number, descriptor, exceptional| {
            ready.push((Woken::Source(number), sys::watch_for(descriptor, exceptional)?));
            Ok(())
        });
        Ok(Heartbeat { watch, ready })
    }

    /// Ticks for as long as it is polled, within a [`tokio::task::LocalSet`].
    ///
    /// History counts time in ticks, so missed ones are skipped and the others stay where they are. `follow` gets the agent after
    /// each tick, and whenever something was noticed.
    pub async fn run(mut self, agent: &'static Mutex<Agent>, mut follow: Option<Follow>) {
        let mut ticks = 0_u32;
        while let Some(woken) = std::future::poll_fn(|context| self.next(context)).await {
            let mut busy = agent.lock().await;
            let now = sys::since_boot();
            let Heartbeat { watch, ready } = &mut self;
            match woken {
                Woken::Source(source) => watch.read(source, now, &mut |note| take(&mut busy, note)),
                Woken::Timer if sys::expirations(ready[0].1.get_ref()).is_ok() => {
                    busy.tick();
                    ticks = ticks.wrapping_add(1);
                    if ticks % RELEASE_EVERY == RELEASE_FIRST {
                        sys::release_program();
                    }
                    if watch.tick(now, &mut |note| take(&mut busy, note)) {
                        busy.clock_is_right();
                    }
                }
                Woken::Timer => {}
            }
            look(agent, &mut busy);
            if let Some(follow) = &mut follow {
                follow(&mut busy);
            }
        }
    }

    /// Returns what is ready. It is read completely afterwards, so that whatever comes from now on makes it ready again.
    fn next(&self, context: &mut Context<'_>) -> Poll<Option<Woken>> {
        for (woken, descriptor) in &self.ready {
            match descriptor.poll_read_ready(context) {
                Poll::Ready(Ok(mut ready)) => {
                    ready.clear_ready();
                    return Poll::Ready(Some(*woken));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
