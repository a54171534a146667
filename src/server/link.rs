//! One connection: what it does at present, until when it may, and the stream that watches over this.
//!
//! A connection is in one of four phases, and each has its deadline. hyper would know when a head takes too long, but not
//! that a client does not read, and it would end a scraper's idle connection after the same few seconds.

use super::peer::Peer;
use super::tls::Channel;
use crate::runtime::traffic::{self, Reason};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a client may take to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection keeps its buffers after an answer, for who asks again and again.
const REST_TIME: Duration = Duration::from_secs(5);
/// How long a connection may be idle between two requests after that: longer than usual scrape intervals, which are 15 s to 2
/// minutes.
const IDLE_TIME: Duration = Duration::from_secs(150);
/// How long an answer may take to be made. Collections end by themselves much earlier; only waiting for others can take long.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How long a client may read nothing of its answer.
pub const READ_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to read all of its answer.
const SEND_TIME: Duration = Duration::from_secs(60);
/// The most bytes in a request's first line.
const LINE_BYTES: usize = 1024;

/// What a connection does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing, after an answer.
    Idle,
    /// A request's head is on its way.
    Head,
    /// An answer is being made.
    Answer,
    /// An answer is being sent.
    Send,
}

/// A connection as all others see it.
#[derive(Debug)]
pub struct Link {
    pub peer: Peer,
    pub since: Instant,
    /// When it last asked something that it was let in for.
    pub heard: Cell<Option<Instant>>,
    pub phase: Cell<Phase>,
    /// Whether it is one of those of its address that stay open between requests.
    pub kept: Cell<bool>,
    /// The page that is being sent, as its place and its length in memory.
    pub page: Cell<(usize, usize)>,
    deadline: Cell<Instant>,
    /// When the present answer has to be sent.
    sent_by: Cell<Instant>,
    dropped: Cell<Option<Reason>>,
    evicted: Cell<bool>,
    /// Whether it has been idle for long enough to do without buffers.
    resting: Cell<bool>,
    /// The status of a refusal that is still to be sent, 0 if none is.
    refusal: Cell<u16>,
    /// What hyper says about it; empty for a connection that never came to speak HTTP.
    pub cause: RefCell<String>,
    /// Whether the client may have sent more than was read.
    unread: Cell<bool>,
    /// Bytes of the present line and of the whole head so far; both 0 between requests.
    line: Cell<usize>,
    head: Cell<usize>,
    first_line: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Link {
    /// A connection that was just made.
    pub fn new(peer: Peer) -> Self {
        let now = Instant::now();
        Link {
            peer,
            since: now,
            heard: Cell::new(None),
            phase: Cell::new(Phase::Head),
            kept: Cell::new(false),
            page: Cell::new((0, 0)),
            deadline: Cell::new(now + HEAD_TIME),
            sent_by: Cell::new(now),
            dropped: Cell::new(None),
            evicted: Cell::new(false),
            resting: Cell::new(false),
            refusal: Cell::new(0),
            cause: RefCell::default(),
            unread: Cell::new(false),
            line: Cell::new(0),
            head: Cell::new(0),
            first_line: Cell::new(true),
            waker: RefCell::new(None),
        }
    }

    fn enter(&self, phase: Phase, time: Duration) {
        self.phase.set(phase);
        self.deadline.set(Instant::now() + time);
    }

    /// A request has come in; whether it has a body, which nobody will read.
    pub fn asked(&self, body: bool) {
        self.enter(Phase::Answer, ANSWER_TIME);
        if body {
            self.unread.set(true);
        }
    }

    /// It may ask what it asks.
    pub fn let_in(&self) {
        self.heard.set(Some(Instant::now()));
    }

    /// Its answer is there; `page` is the memory that it occupies.
    pub fn answered(&self, page: (usize, usize)) {
        self.enter(Phase::Send, READ_TIME);
        self.sent_by.set(Instant::now() + SEND_TIME);
        self.page.set(page);
    }

    /// Until when its present answer has to be sent.
    pub fn sent_by(&self) -> Instant {
        self.sent_by.get()
    }

    /// Until when it may go on as it does.
    pub fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    /// Lets it rest or drops it if its time is over.
    pub fn expire(&self) {
        if Instant::now() < self.deadline.get() {
            return;
        }
        match self.phase.get() {
            Phase::Idle if !self.resting.get() => {
                self.resting.set(true);
                self.enter(Phase::Idle, IDLE_TIME);
            }
            // It has done nothing wrong.
            Phase::Idle => self.dropped.set(Some(Reason::Full)),
            Phase::Head => self.drop_for(Reason::SlowRequest),
            Phase::Answer => self.drop_for(Reason::SlowAnswer),
            Phase::Send => self.drop_for(Reason::SlowReader),
        }
    }

    /// Whether it shall do without buffers until something comes in.
    pub fn is_resting(&self) -> bool {
        self.resting.get()
    }

    /// Something has come in.
    pub fn wake(&self) {
        self.resting.set(false);
        // It may be no request yet.
        self.enter(Phase::Idle, REST_TIME);
    }

    /// Lets its task end it.
    fn drop_for(&self, reason: Reason) {
        traffic::refused(reason);
        self.dropped.set(Some(reason));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether its task has to end it. Wakes `context` when that changes.
    pub fn is_dropped(&self, context: &Context<'_>) -> bool {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        self.dropped.get().is_some()
    }

    /// Whether it is between two requests, of which the second may have begun.
    pub fn is_between_requests(&self) -> bool {
        self.phase.get() == Phase::Idle || self.phase.get() == Phase::Head && self.heard.get().is_some()
    }

    /// Takes its slot for another, and lets its task end it.
    pub fn evict(&self, reason: Reason) {
        self.evicted.set(true);
        self.drop_for(reason);
    }

    /// Whether it has lost its slot to another.
    pub fn is_evicted(&self) -> bool {
        self.evicted.get()
    }

    /// The status of a refusal that is still to be sent.
    pub fn refusal(&self) -> Option<u16> {
        Some(self.refusal.get()).filter(|&status| status != 0)
    }

    /// Refuses what cannot be understood, unless it was refused before.
    pub fn refuse(&self, status: u16) {
        if self.refusal.get() == 0 {
            traffic::refused(Reason::Malformed);
            self.refusal.set(status);
            self.unread.set(true);
        }
    }

    /// Notes that the handshake failed; the client has received an alert.
    pub fn refuse_handshake(&self) {
        traffic::refused(Reason::Malformed);
        self.unread.set(true);
    }

    /// Notes that the client may send more than will be answered.
    pub fn expect_unread(&self) {
        self.unread.set(true);
    }

    /// Whether the client may have sent more than was read.
    pub fn has_unread(&self) -> bool {
        self.unread.get()
    }

    /// Follows what comes in: where heads begin and end, and how long their first lines are. False if one is too long.
    fn follow(&self, bytes: &[u8]) -> bool {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head, HEAD_TIME);
        }
        for &byte in bytes {
            self.head.set(self.head.get() + 1);
            match byte {
                b'\n' if self.line.get() > 0 => {
                    self.line.set(0);
                    self.first_line.set(false);
                }
                // Empty lines before a request are nothing, and one behind its headers is its end.
                b'\n' => {
                    self.head.set(0);
                    self.first_line.set(true);
                }
                b'\r' => {}
                _ => {
                    self.line.set(self.line.get() + 1);
                    if self.first_line.get() && self.line.get() > LINE_BYTES {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// All of an answer is with the kernel.
    fn sent(&self) {
        self.page.set((0, 0));
        // A client may have sent the beginning of its next request already.
        if self.head.get() > 0 {
            self.enter(Phase::Head, HEAD_TIME);
        } else {
            self.enter(Phase::Idle, REST_TIME);
        }
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub struct Stream<'a> {
    pub channel: Channel,
    pub link: &'a Link,
}

impl Stream<'_> {
    /// Notes how a write went.
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            let deadline = (Instant::now() + READ_TIME).min(self.link.sent_by.get());
            self.link.deadline.set(deadline);
        }
        written
    }

    /// Whether hyper speaks for itself: it does when it does not understand a request. Its words lack the headers that every
    /// answer has, so only its status is taken, from `HTTP/1.1 400`.
    fn is_refusal(&self, bytes: &[u8]) -> bool {
        let own = self.link.phase.get() != Phase::Send;
        if own {
            let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            self.link.refuse(status.unwrap_or(400));
        }
        own
    }
}

impl Read for Stream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 2048];
        let length = bytes.len().min(buffer.remaining());
        let mut bytes = ReadBuf::new(&mut bytes[..length]);
        std::task::ready!(Pin::new(&mut self.channel).poll_read(context, &mut bytes))?;
        let bytes = bytes.filled();
        if self.link.refusal().is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.link.follow(bytes) {
            buffer.put_slice(bytes);
        } else {
            // As if the client had ended here; what was asked before is still answered.
            self.link.refuse(414);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_refusal(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.channel).poll_write(context, bytes);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal(slices.first().map_or(&[], |slice| slice)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.channel).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.channel).poll_flush(context))?;
        // hyper has written all that it had when it comes here.
        if self.link.phase.get() == Phase::Send {
            self.link.sent();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A refusal may have to be sent yet.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link::new(Peer::from(std::net::IpAddr::from([0; 4])))
    }

    #[test]
    fn heads_are_followed_however_they_are_cut() {
        let text = b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\n\n";
        for cut in 1..text.len() {
            let link = link();
            for part in text.chunks(cut) {
                assert!(link.follow(part));
            }
            assert_eq!((link.head.get(), link.line.get(), link.first_line.get()), (0, 0, true), "{cut}");
            assert!(link.follow(b"G"));
            assert_eq!(link.head.get(), 1);
        }
    }

    #[test]
    fn an_idle_connection_has_an_end() {
        let link = link();
        link.asked(false);
        link.answered((1, 1));
        link.sent();
        assert_eq!((link.phase.get(), link.page.get()), (Phase::Idle, (0, 0)));
        assert!(link.deadline() <= Instant::now() + REST_TIME && !link.is_resting());
        link.deadline.set(Instant::now());
        link.expire();
        assert!(link.is_resting() && link.dropped.get().is_none());
        assert!(link.deadline() > Instant::now() + REST_TIME && link.deadline() <= Instant::now() + IDLE_TIME);
        link.wake();
        assert!(link.deadline() <= Instant::now() + REST_TIME && !link.is_resting());
        for _ in 0..2 {
            link.deadline.set(Instant::now());
            link.expire();
        }
        assert!(link.dropped.get().is_some());
    }

    #[test]
    fn only_first_lines_are_short() {
        let line = |length: usize| [b"GET /".to_vec(), vec![b'x'; length - 5]].concat();
        assert!(link().follow(&line(LINE_BYTES)) && !link().follow(&line(LINE_BYTES + 1)));
        let link = link();
        assert!(link.follow(b"GET / HTTP/1.1\r\nCookie: ") && link.follow(&line(LINE_BYTES * 4)));
        assert!(link.follow(b"\r\n\r\n") && !link.follow(&line(LINE_BYTES + 1)));
    }
}
