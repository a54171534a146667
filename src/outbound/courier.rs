//! The process that sends: one thread for each receiver, so that one that hangs holds up no other.

use super::backlog::{Backlog, Outcome};
use super::homeassistant::Announcer;
use super::mqtt::{Login, ONLINE, Session};
use super::outbox::{Next, Outbox};
use super::plan::{Kind, Plan, Route};
use super::tls::{self, Channel};
use super::{http, wire};
use crate::format::alert::{self, Form, Told};
use crate::history::events::record::{Record, decode, number};
use crate::model::{Receiver, crc32};
use crate::runtime::sandbox::{self, Call, Needs, Rights};
use crate::sys;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most events that are kept for receivers that are out of reach.
const KEPT_MAX: usize = 128;
/// How long to wait before another connection to a broker: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// How long a broker may take for everything that is published about a document.
const ROUND: Duration = Duration::from_secs(60);
/// Instead of the status of an answer: the processes that start a program are gone.
const GONE: u16 = 1;
/// How long the agent's end waits for a farewell.
const FAREWELL: Duration = Duration::from_millis(800);

/// What it may do beside what the runtime and the C library need. The files of names are replaced while it runs, so it needs their
/// directory.
const NEEDS: Needs =
    Needs { paths: "/etc", rights: &Rights { calls: &[Call::Any(libc::SYS_connect)], ..Rights::NONE } };

/// An event that some receiver may not have heard of yet.
struct Kept {
    id: u64,
    /// Unix time at its boot, in milliseconds.
    offset: i64,
    exact: bool,
    record: Vec<u8>,
}

/// What the threads share.
struct Inbox {
    kept: Vec<Kept>,
    /// One for each receiver of events, once the agent has said what that receiver has got.
    outboxes: Vec<Option<Outbox>>,
    receivers: Vec<Receiver>,
    /// How often the agent was well.
    beats: u64,
    /// What waits for remote write.
    backlog: Backlog,
    /// The last document of `/json`, and how many there were.
    document: (u64, Vec<u8>),
    closing: bool,
}

struct Courier {
    plan: &'static Plan,
    socket: OwnedFd,
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

/// What came of sending: why it failed, and how long to wait before the next attempt, if the other side says so.
type Sent = Result<(), (String, Option<Duration>)>;

/// Sends until the agent's side of the socket is closed.
pub fn work(plan: &'static Plan, socket: OwnedFd) {
    let mut runners: Vec<_> = plan.programs.iter().map(|program| sys::fork_runner(program).ok()).collect();
    runners.reverse();
    if let Err(wrong) = tls::prepare(plan) {
        crate::warn!("nothing is sent with TLS: {wrong}");
    }
    sys::become_nobody();
    // The file may be a link into a directory of the service that writes it.
    let real = fs::read_link("/etc/resolv.conf").map(|path| Path::new("/etc").join(path)).unwrap_or_default();
    let _ = sandbox::enter(&[NEEDS], &|path| path.into(), &[real.parent().unwrap_or(&real)], false);
    let inbox = Inbox {
        kept: Vec::new(),
        outboxes: plan.routes.iter().map(|_| None).collect(),
        receivers: plan.receivers(),
        beats: 0,
        backlog: Backlog::new(plan.labels.clone(), plan.backlog),
        document: (0, Vec::new()),
        closing: false,
    };
    let courier: &'static Courier =
        Box::leak(Box::new(Courier { plan, socket, inbox: Mutex::new(inbox), changed: Condvar::new() }));
    for (place, route) in plan.routes.iter().enumerate() {
        let runner = if route.kind == Kind::Exec { runners.pop().flatten() } else { None };
        if let Err(error) = sys::spawn(Box::new(move || courier.run(place, runner))) {
            crate::warn!("{}: nothing is sent: {error}", route.name);
        }
    }
    let _ = sys::send(&courier.socket, &[wire::HELLO]);
    courier.listen();
}

impl Courier {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes, or for this time.
    fn wait<'a>(&self, inbox: MutexGuard<'a, Inbox>, time: Option<Duration>) -> MutexGuard<'a, Inbox> {
        let time = time.unwrap_or(Duration::from_secs(3600));
        self.changed.wait_timeout(inbox, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes what the agent hands over, until its side is closed.
    fn listen(&self) {
        let mut message = Vec::new();
        loop {
            sys::wait_for_message(&self.socket, -1);
            match sys::receive_all(&self.socket, &mut message) {
                Ok(0) => break,
                Ok(_) => {
                    self.take(&message);
                    self.changed.notify_all();
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        let mut inbox = self.lock();
        inbox.closing = true;
        self.changed.notify_all();
        if self.plan.has(Kind::Mqtt) {
            drop(self.wait(inbox, Some(FAREWELL)));
        }
    }

    fn take(&self, message: &[u8]) {
        let mut inbox = self.lock();
        let Some((kind, rest)) = message.split_first() else { return };
        match *kind {
            wire::KNOWN => {
                let known = rest.get(8..).unwrap_or_default();
                for (route, outbox) in self.plan.routes.iter().zip(&mut inbox.outboxes) {
                    let Some(manner) = self.plan.manner(route.kind) else { continue };
                    let (newest, lasting) = recall(known, mark(route)).unwrap_or((number(rest, 0), Vec::new()));
                    *outbox = Some(Outbox::new(manner, newest, &lasting, sys::since_boot()));
                }
            }
            wire::EVENT => {
                let Some(record) = rest.get(9..) else { return };
                self.learn(
                    &mut inbox,
                    Kept { id: 0, offset: number(rest, 0) as i64, exact: rest[8] != 0, record: record.to_vec() },
                );
            }
            wire::ALIVE => inbox.beats += 1,
            wire::METRICS => {
                let page = rest.get(8..).unwrap_or_default();
                inbox.backlog.push(page, number(rest, 0) as i64, sys::since_boot());
                self.report(&mut inbox);
            }
            wire::DOCUMENT => {
                let (count, document) = &mut inbox.document;
                *count += 1;
                document.clear();
                document.extend_from_slice(rest);
            }
            _ => {}
        }
    }

    /// Takes an event, or what has become of it.
    fn learn(&self, inbox: &mut Inbox, mut kept: Kept) {
        let Some(Record::Event(_, event, _)) = decode(&kept.record) else { return };
        if !self.plan.wants(&event) {
            return;
        }
        kept.id = event.id;
        let (now, over) = (sys::since_boot(), event.end.is_some());
        for outbox in inbox.outboxes.iter_mut().flatten() {
            outbox.learn(kept.id, over, now);
        }
        inbox.kept.retain(|old| old.id != kept.id);
        inbox.kept.push(kept);
        forget(inbox);
    }

    /// Sends what there is for a receiver, whenever there is something.
    fn run(&self, place: usize, runner: Option<OwnedFd>) {
        let route = &self.plan.routes[place];
        if route.kind == Kind::Mqtt {
            return self.publish(place, route);
        }
        let (mut failing, mut refused, mut beats) = (false, false, 0);
        loop {
            let mut states = Vec::new();
            let mut inbox = self.lock();
            let body = loop {
                if inbox.closing {
                    return;
                }
                match self.compose(&mut inbox, place, &mut states, &mut beats) {
                    Ok(body) => break body,
                    Err(time) => inbox = self.wait(inbox, time),
                }
            };
            drop(inbox);
            let (sent, status) = deliver(route, runner.as_ref(), &body);
            let mut inbox = self.lock();
            let now = sys::since_boot();
            let wait = sent.as_ref().err().and_then(|(_, wait)| *wait);
            let mut is_refused = false;
            if route.kind == Kind::RemoteWrite {
                is_refused = inbox.backlog.answer(status, wait, now) == Outcome::Refused;
            } else if let Some(outbox) = &mut inbox.outboxes[place] {
                match &sent {
                    Ok(()) => outbox.arrived(&states, now),
                    Err(_) => outbox.failed(wait, now),
                }
            }
            if is_refused {
                if !std::mem::replace(&mut refused, true) {
                    let wrong = sent.as_ref().err().map_or("", |(wrong, _)| wrong);
                    crate::warn!("{}: refused, and not sent again: {wrong}", route.name);
                }
            } else {
                refused = false;
                count(&mut inbox.receivers[place], &sent, &mut failing);
            }
            forget(&mut inbox);
            self.report(&mut inbox);
            if status == GONE {
                // This process is confined: only another courier can start another one. The agent knows what was not delivered.
                std::process::exit(1);
            }
        }
    }

    /// Returns what is to be sent now, or how long to wait. `states` gets whether each event of it is over.
    fn compose(
        &self,
        inbox: &mut Inbox,
        place: usize,
        states: &mut Vec<(u64, bool)>,
        beats: &mut u64,
    ) -> Result<Vec<u8>, Option<Duration>> {
        let now = sys::since_boot();
        let (route, mut body) = (&self.plan.routes[place], Vec::new());
        if route.kind == Kind::RemoteWrite {
            let Inbox { backlog, .. } = inbox;
            return backlog.take(now).ok_or_else(|| backlog.due().map(|due| due.saturating_sub(now)));
        }
        let Some(outbox) = &inbox.outboxes[place] else {
            // Nothing is said to a receiver of events before it is known what it has got.
            let before = std::mem::replace(beats, inbox.beats);
            return if before == *beats || route.kind != Kind::Heartbeat { Err(None) } else { Ok(body) };
        };
        match outbox.next(now) {
            Next::Wait(time) => Err(time),
            Next::Tell(mut ids) => {
                ids.truncate(alert::MOST);
                self.write(inbox, place, &ids, states, &mut body);
                match &mut inbox.outboxes[place] {
                    Some(outbox) if body.is_empty() => {
                        outbox.settle(states);
                        return Err(Some(Duration::ZERO));
                    }
                    _ => {}
                }
                Ok(body)
            }
        }
    }

    /// Publishes each document at an MQTT broker, and says farewell.
    fn publish(&self, place: usize, route: &Route) {
        let (device, status) = (self.plan.device(), format!("{}/status", self.plan.topic));
        let state = format!("{}/state", self.plan.topic);
        let (mut announcer, mut session, mut done) = (Announcer::default(), None::<Session<Channel>>, 0);
        let (mut failing, mut pause) = (false, PAUSE);
        loop {
            let mut inbox = self.lock();
            while !inbox.closing && inbox.document.0 == done {
                inbox = self.wait(inbox, None);
            }
            if inbox.closing {
                drop(inbox);
                if let Some(mut session) = session {
                    session.stream().until(Instant::now() + http::TIME);
                    let _ = Session::close(session, &status);
                }
                return self.changed.notify_all();
            }
            let document = inbox.document.1.clone();
            done = inbox.document.0;
            drop(inbox);
            let sent = (|| {
                let mut open = match session.take() {
                    Some(open) => open,
                    None => self.connect(route, &status, &mut announcer)?,
                };
                open.stream().until(Instant::now() + ROUND);
                if !device.prefix.is_empty() {
                    announcer.announce(&mut open, &document, &device, sys::since_boot())?;
                }
                open.publish(&state, &document, true)?;
                session = Some(open);
                Ok(())
            })();
            let sent = sent.map_err(|error: std::io::Error| (error.to_string(), None));
            let mut inbox = self.lock();
            count(&mut inbox.receivers[place], &sent, &mut failing);
            self.report(&mut inbox);
            if sent.is_ok() {
                pause = PAUSE;
                continue;
            }
            // The newest one is tried again after the pause, however long it takes until there is another.
            done = 0;
            let end = sys::since_boot() + pause;
            pause = (pause * 2).min(PAUSE_MAX);
            while let Some(left) = end.checked_sub(sys::since_boot()).filter(|_| !inbox.closing) {
                inbox = self.wait(inbox, Some(left));
            }
        }
    }

    fn connect(&self, route: &Route, status: &str, announcer: &mut Announcer) -> std::io::Result<Session<Channel>> {
        let stream = http::connect(&route.address, Instant::now() + http::TIME)?;
        let client = format!("pi-monitor-{}", self.plan.id);
        let login = Login {
            client: &client,
            user: route.credential.strip_prefix("basic ").and_then(|pair| pair.trim().split_once(':')),
            keep_alive: u16::try_from(self.plan.intervals[1].as_secs().saturating_mul(2)).unwrap_or(0),
            status,
        };
        let mut session = Session::open(stream, &login)?;
        session.publish(status, ONLINE, true)?;
        announcer.reset();
        Ok(session)
    }

    /// Appends the message about these events; `states` gets whether it reports the end of each.
    fn write(&self, inbox: &Inbox, place: usize, ids: &[u64], states: &mut Vec<(u64, bool)>, out: &mut Vec<u8>) {
        let (Some(outbox), route) = (&inbox.outboxes[place], &self.plan.routes[place]) else { return };
        let mut told = Vec::new();
        for id in ids {
            let kept = inbox.kept.iter().find(|kept| kept.id == *id);
            let record = kept.and_then(|kept| Some((kept, decode(&kept.record)?)));
            let (again, over) = outbox.state(*id);
            // Of what there is no record any more, nothing is left to say.
            states.push((*id, over || record.is_none()));
            if let Some((kept, Record::Event(_, mut event, lists))) = record {
                event.begin = event.begin.saturating_add(kept.offset);
                event.end = event.end.map(|end| end.saturating_add(kept.offset));
                event.exact = kept.exact;
                told.push(Told { event, lists, again });
            }
        }
        let sender = self.plan.sender();
        if !told.is_empty() {
            let form = if let Kind::Alert(form) = route.kind { form } else { Form::Document };
            alert::write(form, &sender, &route.topic, &told, out);
        }
    }

    /// Tells the agent how it went, and what the next start has to know.
    fn report(&self, inbox: &mut Inbox) {
        let mut message = vec![wire::STATE];
        let (waiting, dropped) = (inbox.backlog.len(), inbox.backlog.dropped + inbox.backlog.refused);
        for (receiver, outbox) in inbox.receivers.iter_mut().zip(&inbox.outboxes) {
            receiver.waiting = outbox.as_ref().map_or(0, Outbox::waiting);
            if receiver.name.starts_with("remote-write ") {
                receiver.waiting = waiting as u64;
                receiver.counts[2] = dropped;
            }
            let Receiver { counts: [sent, failed, dropped], waiting, last, .. } = receiver;
            for number in [sent, failed, dropped, waiting, last] {
                message.extend_from_slice(&number.to_le_bytes());
            }
        }
        for (route, outbox) in self.plan.routes.iter().zip(&inbox.outboxes) {
            let Some(outbox) = outbox else { continue };
            let (newest, lasting) = outbox.known();
            message.extend_from_slice(&mark(route).to_le_bytes());
            message.extend_from_slice(&newest.to_le_bytes());
            let count = message.len();
            message.push(0);
            for id in lasting {
                message[count] += 1;
                message.extend_from_slice(&id.to_le_bytes());
            }
        }
        let _ = sys::send(&self.socket, &message);
    }
}

/// Counts what came of sending; says it when it is other than the last time.
fn count(receiver: &mut Receiver, sent: &Sent, failing: &mut bool) {
    match sent {
        Ok(()) => {
            receiver.counts[0] += 1;
            receiver.last = sys::unix_time().as_secs();
            if std::mem::take(failing) {
                crate::info!("{}: sent again", receiver.name);
            }
        }
        Err((wrong, _)) => {
            receiver.counts[1] += 1;
            if !std::mem::replace(failing, true) {
                crate::warn!("{}: cannot send: {wrong}; what waits is tried again", receiver.name);
            }
        }
    }
}

/// Forgets events about which there is nothing left to say, and the oldest if there are too many.
fn forget(inbox: &mut Inbox) {
    let Inbox { kept, outboxes, receivers, .. } = inbox;
    kept.retain(|kept| !outboxes.iter().flatten().all(|outbox| outbox.is_done(kept.id)));
    while kept.len() > KEPT_MAX {
        let oldest = kept.remove(0);
        for (outbox, receiver) in outboxes.iter_mut().zip(&mut *receivers) {
            if outbox.as_mut().is_some_and(|outbox| outbox.forget(oldest.id)) {
                receiver.counts[2] += 1;
            }
        }
    }
}

/// What stands for a receiver where its address must not.
fn mark(route: &Route) -> u32 {
    [&route.name, &route.address.path, &route.topic].iter().fold(0, |sum, text| crc32(sum, text.as_bytes()))
}

/// Finds what a receiver knows in what [`Courier::report`] wrote: the newest event that it was told of, and those that it knows
/// to last.
fn recall(mut known: &[u8], mark: u32) -> Option<(u64, Vec<u64>)> {
    while let [one, two, three, four, rest @ ..] = known {
        let count = usize::from(*rest.get(8)?);
        let ids = rest.get(9..9 + 8 * count)?;
        if u32::from_le_bytes([*one, *two, *three, *four]) == mark {
            return Some((number(rest, 0), ids.chunks_exact(8).map(|id| number(id, 0)).collect()));
        }
        known = &rest[9 + 8 * count..];
    }
    None
}

/// Sends a message to a receiver; also returns the status of its answer, 0 if there was none, and [`GONE`].
pub fn deliver(route: &Route, runner: Option<&OwnedFd>, body: &[u8]) -> (Sent, u16) {
    if route.kind == Kind::Exec {
        return start(runner, body);
    }
    let method = if route.kind == Kind::Heartbeat { "GET" } else { "POST" };
    let answer = match http::send(&route.address, method, &route.fields, body) {
        Ok(answer) => answer,
        Err(wrong) => return (Err((wrong, None)), 0),
    };
    let sent = match answer.status {
        200..300 => Ok(()),
        300..400 => Err((format!("status {}: it leads elsewhere, which is not followed", answer.status), None)),
        status => Err((format!("status {status}: {}", answer.text), answer.retry_after)),
    };
    (sent, answer.status)
}

/// Hands a message to the process that starts the program.
fn start(runner: Option<&OwnedFd>, body: &[u8]) -> (Sent, u16) {
    let wrong = |wrong: &str, status| (Err((wrong.to_owned(), None)), status);
    const NOBODY: &str = "there is no process to start it";
    let Some(runner) = runner else { return wrong(NOBODY, 0) };
    let mut status = [0];
    // An answer that came too late is none to this message.
    let _ = sys::receive(runner, &mut status);
    let _ = sys::send(runner, &body[..body.len().min(sys::INPUT_MAX)]);
    sys::wait_for_message(runner, 60_000);
    match sys::receive(runner, &mut status) {
        // Nobody holds the other end.
        Ok(0) => return wrong(NOBODY, GONE),
        Ok(_) => {}
        // What starts it was killed, too, and comes again.
        Err(_) => status[0] = 126,
    }
    match status[0] {
        0 => (Ok(()), 0),
        126 => wrong("it took longer than 30 s, or was killed", 0),
        127 => wrong("it cannot be started, or lacks a command", 0),
        status => (Err((format!("it ended with status {status}"), None)), 0),
    }
}
