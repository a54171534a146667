//! One connection from its first byte to its last: hyper at work on it, its deadlines, and its end in good order.

use super::body::Bytes;
use super::link::{self, Link, Stream};
use super::state::State;
use super::tls::{self, Channel};
use super::{answer, routes};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use socket2::SockRef;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;

/// The most that a request's head may hold, in bytes and in headers.
const HEADER_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
/// How long, and for how many bytes, to wait for the end of what a client sends that nobody will read: were the connection
/// closed before, the kernel would take the answer back.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;

/// Serves one connection until the client leaves, its time is over, others need its slot or the agent ends.
pub async fn serve(socket: TcpStream, link: Rc<Link>, state: &'static State) {
    let _ = socket.set_nodelay(true);
    // What the kernel has taken over has to be read in time, too.
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(link::READ_TIME));
    let mut opened = None;
    watch(&link, pin!(async { opened = Some(tls::open(socket, state.tls.as_ref()).await) })).await;
    let left = match opened {
        Some(Ok(channel)) => converse(channel, &link, state).await,
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
        finish(channel, &link, state).await;
    }
    state.gate.leave(&link);
    if state.gate.count() == 0 {
        state.last_closed.notify_one();
    }
}

/// Answers all that is asked on one connection, and gives back what is to be ended in good order.
async fn converse(mut channel: Channel, link: &Rc<Link>, state: &'static State) -> Option<Channel> {
    let mut end = pin!(state.end.notified());
    let mut ending = false;
    loop {
        let service = service_fn(|request| respond(request, state, link));
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
            if !ending && (state.ending.get() || end.as_mut().poll(context).is_ready()) {
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
    state: &'static State,
    link: &Link,
) -> Result<hyper::Response<Bytes>, Infallible> {
    let body = !request.body().is_end_stream();
    link.asked(body);
    let mut response = routes::respond(&request, state, link).await;
    let surplus = !state.gate.keeps(link);
    if surplus {
        // A client that sends one request behind another may have sent the next one.
        link.expect_unread();
    }
    if body || surplus {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    link.answered(response.body().page());
    state.gate.make_room(link);
    Ok(response)
}

/// Ends a connection in good order: sends what is to be said, and lets the client hear it.
async fn finish(mut channel: Channel, link: &Link, state: &State) {
    let words = link.refusal().map(|status| answer::refusal(status, &link.cause.borrow())).unwrap_or_default();
    // A client for whom the kernel has no room left has read nothing for long.
    let _ = tokio::time::timeout(LINGER, tls::end(&mut channel, words.as_bytes())).await;
    let evicted = link.is_evicted();
    if !link.has_unread() || evicted && !state.gate.begin_leaving() {
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
        state.gate.end_leaving();
    }
}

/// Lets the kernel forget at once, when the connection is closed, what the client has not read.
pub fn reset(socket: &TcpStream) {
    let _ = socket.set_zero_linger();
}
