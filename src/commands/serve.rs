//! `pi-monitor serve`: the dashboard, the metrics and JSON on a port.

use super::{confine, run_to_end, runtime};
use crate::agent::{
    Agent,
    heartbeat::{self, Heartbeat},
    keeper,
};
use crate::cli::{Bare, Command, Entry, Options, prose};
use crate::kernel::packages;
use crate::kernel::watch::{self, Watch};
use crate::kernel::{Machine, Roots};
use crate::outbound::{
    self,
    post::{self, Post},
};
use crate::runtime::task;
use crate::server::{self, Protection, listen::Door};
use crate::sys;
use std::cell::RefCell;
use std::process::ExitCode;
use tokio::sync::Mutex;
use tokio::task::LocalSet;

pub static COMMAND: Command = Command {
    name: "serve",
    argument: "",
    help: prose("serve the dashboard, metrics and JSON until SIGTERM or SIGINT"),
    flags: &[Entry::Bare(&CHECK)],
    failure: 1,
    run,
};

pub static CHECK: Bare = Bare { name: "check", help: prose("Check the flags and the files that they name, and exit.") };

fn run(options: &Options) -> Result<ExitCode, String> {
    sys::seal_program();
    sys::log_without_waiting();
    // Their files, who has a port, and the sources of events are out of reach afterwards.
    let protection = Protection::read(options)?;
    let check = options.has(&CHECK);
    let doors = if check { Vec::new() } else { server::listen::open(options, &Roots::new(options).proc)? };
    let journal = if check { None } else { keeper::open(options) };
    // Before there is much memory: its processes would keep a copy of it.
    let post = if check { outbound::check(options).map(|()| None)? } else { outbound::start(options)? };
    let (post, receivers) = post.map_or((None, Vec::new()), |(post, receivers)| (Some(post), receivers));
    let watch = heartbeat::watch(options, Machine::default());
    confine(options, &[server::NEEDS, watch::NEEDS, packages::NEEDS])?;
    if check {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = runtime()?;
    let agent = {
        // Helper processes register with the runtime.
        let _entered = runtime.enter();
        let mut agent = Agent::new(options, Machine::default());
        if let Some(journal) = journal {
            agent.keep(journal);
        }
        agent.receivers = receivers;
        // The end of the process takes it away; code that does would be of no other use.
        Box::leak(Box::new(Mutex::new(agent)))
    };
    run_to_end(runtime, serve(options, agent, watch, protection, doors, post)).map(|()| ExitCode::SUCCESS)
}

/// Runs the heartbeat and the server side by side until SIGTERM or SIGINT.
///
/// # Errors
/// One line that names what the system refuses.
pub async fn serve(
    options: &Options,
    agent: &'static Mutex<Agent>,
    watch: Watch,
    protection: Protection,
    doors: Vec<Door>,
    post: Option<Post>,
) -> Result<(), String> {
    let signals = sys::signals(&[libc::SIGTERM, libc::SIGINT])
        .and_then(sys::watch)
        .map_err(|error| format!("signals: {error}"))?;
    // Closing a terminal or a pipe is not meant for the agent.
    for signal in [libc::SIGHUP, libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2] {
        sys::ignore_signal(signal);
    }
    let tasks: &'static LocalSet = Box::leak(Box::new(LocalSet::new()));
    let work = async {
        let server = server::start(options, agent, protection, doors)?;
        let post = post.map(|post| &*Box::leak(Box::new(RefCell::new(post))));
        let follow = post.map(|post| post::follow(agent, post));
        task::spawn(Box::pin(Heartbeat::new(options, watch)?.run(agent, follow)));
        signals.readable().await.map(drop).map_err(|error| format!("signals: {error}"))?;
        server.stop().await;
        if let Ok(mut agent) = agent.try_lock() {
            agent.end();
        }
        if let Some(post) = post {
            post.borrow().end();
        }
        crate::info!("stopped");
        Ok(())
    };
    tasks.run_until(work).await
}
