//! The HTTP server: listeners, connections, shutdown. What a request gets is decided in [`routes`].

pub mod routes;

use crate::agent::Agent;
use crate::cli::Options;
use crate::sys;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::future::poll_fn;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that a request's head may hold, in bytes and in headers.
const HEADER_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
/// How long requests in flight may take when the agent ends.
const GRACE: Duration = Duration::from_millis(2500);
/// How long to wait before accepting again when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    pub agent: Mutex<Agent>,
    open: Cell<usize>,
    ending: Cell<bool>,
    end: Notify,
    last_closed: Notify,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// One line that names the address that cannot be served on.
pub async fn run(options: &Options, agent: Agent) -> Result<(), String> {
    let signals = sys::signals(&[libc::SIGTERM, libc::SIGINT]).map_err(|error| format!("signals: {error}"))?;
    // Whoever closes a terminal or a pipe does not mean the agent.
    for signal in [libc::SIGHUP, libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2] {
        sys::ignore_signal(signal);
    }
    let mut listeners = Vec::new();
    for address in options.listen() {
        listeners.push(listen(address).map_err(|error| format!("cannot listen on {address}: {error}"))?);
    }
    let shared = Rc::new(Shared {
        agent: Mutex::new(agent),
        open: Cell::new(0),
        ending: Cell::new(false),
        end: Notify::new(),
        last_closed: Notify::new(),
    });
    let tasks = tokio::task::LocalSet::new();
    for listener in listeners {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        crate::info!("listening on http://{address}/");
        tasks.spawn_local(accept(listener, shared.clone()));
    }
    let timer = sys::timer(options.sample_interval).and_then(sys::watch).map_err(|error| format!("timer: {error}"))?;
    tasks.spawn_local(sample(timer, shared.clone()));
    tasks.run_until(wait_for_signal(signals)).await.map_err(|error| format!("signals: {error}"))?;
    shared.ending.set(true);
    shared.end.notify_waiters();
    let drained = async {
        while shared.open.get() > 0 {
            shared.last_closed.notified().await;
        }
    };
    let _ = tasks.run_until(tokio::time::timeout(GRACE, drained)).await;
    crate::info!("ended");
    Ok(())
}

/// Opens a listening socket; `:PORT` means IPv6 and IPv4, or IPv4 alone where the kernel has no IPv6.
fn listen(address: &str) -> std::io::Result<TcpListener> {
    let listener = match address.strip_prefix(':') {
        Some(port) => std::net::TcpListener::bind(format!("[::]:{port}")).or_else(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => Err(error),
            _ => std::net::TcpListener::bind(format!("0.0.0.0:{port}")),
        })?,
        None => std::net::TcpListener::bind(address.to_socket_addrs()?.collect::<Vec<SocketAddr>>().as_slice())?,
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Waits for the first of the blocked signals.
async fn wait_for_signal(descriptor: OwnedFd) -> std::io::Result<()> {
    let _ready = sys::watch(descriptor)?.readable().await?;
    Ok(())
}

/// Ends a sample interval again and again.
///
/// History counts time in ticks, so those that were missed are left out and the others stay where they are.
async fn sample(timer: AsyncFd<OwnedFd>, shared: Rc<Shared>) {
    while let Ok(mut ready) = timer.readable().await {
        if ready.try_io(|timer| sys::expirations(timer.get_ref())).is_ok() {
            shared.agent.lock().await.tick();
        }
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    while !shared.ending.get() {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve(stream, shared.clone()));
            }
            Err(error) => {
                crate::debug!("accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until the client leaves, a timeout strikes or the agent ends.
async fn serve(stream: TcpStream, shared: Rc<Shared>) {
    shared.open.set(shared.open.get() + 1);
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| routes::respond(request, &shared));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut end = pin!(shared.end.notified());
    let mut ending = false;
    let result = poll_fn(|context| {
        if !ending && (shared.ending.get() || end.as_mut().poll(context).is_ready()) {
            ending = true;
            Pin::as_mut(&mut connection).graceful_shutdown();
        }
        match connection.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if let Err(error) = result {
        crate::debug!("connection: {error}");
    }
    shared.open.set(shared.open.get() - 1);
    if shared.open.get() == 0 {
        shared.last_closed.notify_one();
    }
}
