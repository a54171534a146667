//! The HTTP server: its start, its connections and its end. [`listen`] opens the sockets, [`gate`] decides who gets a slot, [`link`] how long a
//! connection may take for what, [`host`], [`frames`] and [`access`] who may ask from where, and [`routes`] what a request gets.
//! [`config`] reads the web configuration, and [`tls`] has the bytes below HTTP.

pub mod access;
pub mod config;
pub mod flags;
pub mod frames;
pub mod gate;
pub mod host;
pub mod link;
pub mod listen;
pub mod routes;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub mod tls;

use crate::agent::Agent;
use crate::cli::Options;
use crate::dashboard;
use crate::runtime::sandbox::{CAP_NET_BIND_SERVICE, Needs};
use access::Access;
use config::Config;
use frames::Policies;
use gate::Gate;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use link::{Link, Stream};
use listen::Door;
use socket2::SockRef;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tls::{Channel, Tls};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};

/// What serving needs: ports below 1024, and what the C library reads to find the address of a host's name.
pub const NEEDS: Needs = Needs { capabilities: CAP_NET_BIND_SERVICE, ..Needs::reading(&["/etc"]) };

/// The most that a request's head may hold, in bytes and in headers.
const HEADER_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
/// How long requests in flight may take when the agent ends.
const GRACE: Duration = Duration::from_millis(2500);
/// How long to wait before accepting again when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long, and for how many bytes, to wait for the end of what a client sends that nobody will read: were the connection
/// closed before, the kernel would take the answer back.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;

/// What keeps others out, as the files on the command line say.
#[derive(Debug, Default)]
pub struct Protection {
    /// None if everybody may ask.
    access: Option<Access>,
    /// None if what is sent can be read on the way.
    tls: Option<Tls>,
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
pub struct Shared {
    pub agent: Rc<Mutex<Agent>>,
    /// None if everybody may ask.
    pub access: Option<Rc<Access>>,
    tls: Option<Tls>,
    /// The value of `--web.allowed-hosts`.
    pub hosts: String,
    pub policies: Policies,
    gate: Gate,
    ending: Cell<bool>,
    end: Notify,
    last_closed: Notify,
}

/// A server at work.
#[derive(Debug)]
pub struct Server(Rc<Shared>);

/// Starts to serve `agent` at `doors`. Call it within a [`LocalSet`](tokio::task::LocalSet), which then runs the server.
///
/// # Errors
/// One line that names the address that cannot be served on.
pub fn start(
    options: &Options,
    agent: Rc<Mutex<Agent>>,
    protection: Protection,
    doors: Vec<Door>,
) -> Result<Server, String> {
    for door in &doors {
        door.listen()?;
    }
    let shared = Rc::new(Shared {
        agent,
        access: protection.access.map(Rc::new),
        tls: protection.tls,
        hosts: options.value(&flags::ALLOWED_HOSTS).to_owned(),
        policies: Policies::new(options.value(&flags::FRAME_ANCESTORS), dashboard::page().policy),
        gate: Gate::new(flags::connections_per_address(options)),
        ending: Cell::new(false),
        end: Notify::new(),
        last_closed: Notify::new(),
    });
    for door in doors {
        tokio::task::spawn_local(listen_at(door, shared.clone()));
    }
    Ok(Server(shared))
}

impl Server {
    /// Accepts nothing more, and waits until all requests in flight are answered or [`GRACE`] is over.
    pub async fn stop(self) {
        let Server(shared) = self;
        shared.ending.set(true);
        shared.end.notify_waiters();
        let drained = async {
            while shared.gate.count() > 0 {
                shared.last_closed.notified().await;
            }
        };
        let _ = tokio::time::timeout(GRACE, drained).await;
    }
}

/// Serves on one address, as soon as it is free.
async fn listen_at(door: Door, shared: Rc<Shared>) {
    match door.listener().await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => {
            let scheme = if shared.tls.is_some() { "https" } else { "http" };
            crate::info!("listening on {scheme}://{address}/");
            accept(listener, shared).await;
        }
        Err(error) => crate::warn!("cannot listen: {error}"),
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    while !shared.ending.get() {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let descriptor = usize::try_from(socket.as_raw_fd()).unwrap_or(usize::MAX);
                match shared.gate.admit(peer.ip().into(), descriptor) {
                    Some(link) => drop(tokio::task::spawn_local(serve(socket, link, shared.clone()))),
                    None => reset(&socket),
                }
                // Who was evicted gives back a descriptor before the next one is taken.
                tokio::task::yield_now().await;
            }
            // The client has left again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                crate::debug!("accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until the client leaves, its time is over, others need its slot or the agent ends.
async fn serve(socket: TcpStream, link: Rc<Link>, shared: Rc<Shared>) {
    let _ = socket.set_nodelay(true);
    // What the kernel has taken over has to be read in time, too.
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(link::READ_TIME));
    let mut opened = None;
    watch(&link, pin!(async { opened = Some(tls::open(socket, shared.tls.as_ref()).await) })).await;
    let left = match opened {
        Some(Ok(channel)) => converse(channel, &link, &shared).await,
        Some(Err((channel, None))) => {
            link.refuse(400);
            Some(channel)
        }
        Some(Err((channel, Some(error)))) => {
            crate::debug!("TLS: {error}");
            link.refuse_handshake();
            Some(channel)
        }
        None => None,
    };
    if let Some(channel) = left {
        finish(channel, &link, &shared).await;
    }
    shared.gate.leave(&link);
    if shared.gate.count() == 0 {
        shared.last_closed.notify_one();
    }
}

/// Answers all that is asked on one connection, and gives back what is to be ended in good order.
async fn converse(mut channel: Channel, link: &Rc<Link>, shared: &Rc<Shared>) -> Option<Channel> {
    let mut end = pin!(shared.end.notified());
    let mut ending = false;
    loop {
        let service = service_fn(|request| respond(request, shared, link));
        // A client may say that it has asked all it wants before it is answered.
        let mut connection = Box::pin(
            http1::Builder::new()
                .half_close(true)
                .max_buf_size(HEADER_BYTES)
                .max_headers(HEADERS)
                .serve_connection(Stream { channel, link }, service),
        );
        let mut result = None;
        let work = poll_fn(|context| {
            if !ending && (shared.ending.get() || end.as_mut().poll(context).is_ready()) {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            match connection.as_mut().poll(context) {
                Poll::Pending if link.is_resting() => Poll::Ready(()),
                poll => poll.map(|over| result = Some(over)),
            }
        });
        let in_time = watch(link, pin!(work)).await;
        channel = Pin::into_inner(connection).into_parts().io.channel;
        match result {
            Some(result) => {
                if let Err(error) = result {
                    crate::debug!("connection: {error}");
                    if error.is_parse() {
                        link.refuse(400);
                        link.cause.replace(error.to_string());
                    }
                }
                return Some(channel);
            }
            None if in_time => {
                // All that hyper had for it is given back until something comes in.
                if !rest(&channel, link, end.as_mut()).await {
                    return Some(channel);
                }
                link.wake();
            }
            None if link.is_between_requests() => {
                // Its next request may be on its way: the client sees an end, and not an error.
                link.expect_unread();
                return Some(channel);
            }
            None => {
                reset(tls::socket(&channel));
                return None;
            }
        }
    }
}

/// Waits until something comes in; false if the connection's time is over or the agent ends first.
async fn rest(channel: &Channel, link: &Link, mut end: Pin<&mut Notified<'_>>) -> bool {
    let mut readable = pin!(tls::socket(channel).readable());
    let mut woken = false;
    let work = poll_fn(|context| match end.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => readable.as_mut().poll(context).map(|_| woken = true),
    });
    if !watch(link, pin!(work)).await {
        link.expect_unread();
    }
    woken
}

/// Waits for `work`, but no longer than the connection has time for it: false if it has none left or others need its slot.
async fn watch(link: &Link, mut work: Pin<&mut dyn Future<Output = ()>>) -> bool {
    let mut clock = pin!(tokio::time::sleep_until(link.deadline()));
    poll_fn(|context| {
        loop {
            if link.is_dropped(context) {
                return Poll::Ready(false);
            }
            if work.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            // A deadline that has moved away is noticed when the old one strikes, which is cheaper than to move it each time.
            if link.deadline() < clock.deadline() {
                clock.as_mut().reset(link.deadline());
            }
            if clock.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            link.expire();
            clock.as_mut().reset(link.deadline());
        }
    })
    .await
}

/// Answers one request. A body is not read; its connection ends.
async fn respond(
    request: Request<Incoming>,
    shared: &Rc<Shared>,
    link: &Link,
) -> Result<hyper::Response<routes::Bytes>, Infallible> {
    let body = !request.body().is_end_stream();
    link.asked(body);
    let mut response = routes::respond(&request, shared, link).await;
    let surplus = !shared.gate.keeps(link);
    if surplus {
        // A client that sends one request behind another may have sent the next one.
        link.expect_unread();
    }
    if body || surplus {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    link.answered(response.body().page());
    shared.gate.make_room(link);
    Ok(response)
}

/// Ends a connection in good order: sends what is to be said, and lets the client hear it.
async fn finish(mut channel: Channel, link: &Link, shared: &Shared) {
    let words = link.refusal().map(|status| routes::refusal(status, &link.cause.borrow())).unwrap_or_default();
    // A client for whom the kernel has no room left has read nothing for long.
    let _ = tokio::time::timeout(LINGER, tls::end(&mut channel, words.as_bytes())).await;
    let evicted = link.is_evicted();
    if !link.has_unread() || evicted && !shared.gate.begin_leaving() {
        return;
    }
    let socket = tls::socket(&channel);
    let read = async {
        let (mut left, mut bytes) = (LINGER_BYTES, [0; 2048]);
        while left > 0 && socket.readable().await.is_ok() {
            match socket.try_read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let mut read = pin!(tokio::time::timeout(LINGER, read));
    poll_fn(|context| {
        // Others may need its slot by now; one that was evicted before has none.
        if link.is_dropped(context) && link.is_evicted() && !evicted {
            return Poll::Ready(());
        }
        read.as_mut().poll(context).map(drop)
    })
    .await;
    if evicted {
        shared.gate.end_leaving();
    }
}

/// Lets the kernel forget at once, when the connection is closed, what the client has not read.
fn reset(socket: &TcpStream) {
    let _ = socket.set_zero_linger();
}
