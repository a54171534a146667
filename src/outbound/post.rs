//! The agent's side of the courier: hands over what happened, takes back how telling it went. Nothing in it waits.

use super::plan::{Kind, Plan};
use super::wire;
use crate::agent::Agent;
use crate::agent::foreign::Choice;
use crate::agent::heartbeat::Follow;
use crate::dialect::flags::Tongue;
use crate::format::Format;
use crate::history::events::Events;
use crate::history::events::record::{END, is_open, number};
use crate::model::{Receiver, crc32};
use crate::runtime::task;
use crate::sys;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::sync::Mutex;

/// How often the courier hears that the agent is well.
const ALIVE: Duration = Duration::from_secs(60);
/// The longest message of the courier.
const STATE_MAX: usize = 4096;
/// How many events that may still change are followed.
const LASTING_MAX: usize = 64;
/// For how long after its end an event may begin to last again, in milliseconds: longer than any rule waits before it forgets a verdict.
const SETTLED: u64 = 120_000;
/// Events that ended before this are not reported any more, in milliseconds.
const TOO_OLD: i64 = 86_400_000;

/// How long the agent's end waits for that of the courier, which says farewell to a broker.
const FAREWELL: Duration = Duration::from_secs(1);

/// The tick at which it is reported that the metrics wait for the clock.
const WAITS_MAX: u8 = 10;

/// How late a tick may be.
const TICK_MAX: Duration = Duration::from_secs(5);

/// What may be due.
const METRICS: u8 = 1;
const DOCUMENT: u8 = 2;
/// How old a collection may be that is pushed.
const SHARED_FOR: Duration = Duration::from_millis(100);

/// The agent's side of the courier.
#[derive(Debug)]
pub struct Post {
    socket: OwnedFd,
    tells: bool,
    beats: bool,
    /// How often measurements are handed over: those of remote write, and those of MQTT.
    every: [Option<Duration>; 2],
    /// When that was done last, since boot.
    done: [Duration; 2],
    beaten: Duration,
    /// Whether it was said that a page is too long for the socket.
    is_long: bool,
    /// Whether the courier has said that it is there.
    greeted: bool,
    /// The newest event of the time before this start.
    first: u64,
    /// The newest event that was handed over, and those before it that may still change, with their checksums.
    newest: u64,
    lasting: Vec<(u64, u32)>,
    changes: u64,
    /// The same, for the document of `/json`.
    seen: u64,
    /// How many ticks the metrics have waited for the clock.
    waits: u8,
    message: Vec<u8>,
}

impl Post {
    /// For the courier at the other end of this socket.
    pub fn new(socket: OwnedFd, plan: &Plan) -> Post {
        let every = |kind, place: usize| plan.has(kind).then_some(plan.intervals[place]);
        Post {
            socket,
            tells: plan.routes.iter().any(|route| plan.manner(route.kind).is_some()),
            beats: plan.has(Kind::Heartbeat),
            every: [every(Kind::RemoteWrite, 0), every(Kind::Mqtt, 1)],
            done: [Duration::ZERO; 2],
            beaten: Duration::ZERO,
            is_long: false,
            greeted: false,
            first: 0,
            newest: 0,
            lasting: Vec::with_capacity(LASTING_MAX),
            changes: 0,
            seen: 0,
            waits: 0,
            message: Vec::new(),
        }
    }

    /// Hands over what is new. Call it after each of the agent's ticks and notes.
    fn serve(&mut self, agent: &mut Agent) {
        self.listen(agent);
        if !self.greeted {
            return;
        }
        let now = sys::since_boot();
        if self.beats && now.saturating_sub(self.beaten) >= ALIVE && sys::send(&self.socket, &[wire::ALIVE]).is_ok() {
            self.beaten = now;
        }
        if self.tells {
            self.hand_over(agent.events_kept());
        }
    }

    /// Takes what the courier says.
    fn listen(&mut self, agent: &mut Agent) {
        let mut buffer = [0; STATE_MAX];
        while let Ok(length @ 1..) = sys::receive(&self.socket, &mut buffer) {
            let message = &buffer[1..length];
            match buffer[0] {
                wire::HELLO => {
                    self.message.clear();
                    self.message.push(wire::KNOWN);
                    self.message.extend_from_slice(&self.first.to_le_bytes());
                    self.message.extend_from_slice(agent.told());
                    self.greeted = sys::send(&self.socket, &self.message).is_ok();
                    (self.newest, self.changes) = (0, u64::MAX);
                    self.lasting.clear();
                    self.done = [Duration::ZERO; 2];
                }
                wire::STATE => {
                    const NUMBERS: usize = 40;
                    let count = agent.receivers.len();
                    for (receiver, numbers) in agent.receivers.iter_mut().zip(message.chunks_exact(NUMBERS)) {
                        let Receiver { counts: [sent, failed, dropped], waiting, last, .. } = receiver;
                        for (place, field) in [sent, failed, dropped, waiting, last].into_iter().enumerate() {
                            *field = number(numbers, 8 * place);
                        }
                    }
                    agent.set_told(message.get(count * NUMBERS..).unwrap_or_default());
                }
                _ => {}
            }
        }
    }

    /// Hands over events that are new, or have changed.
    fn hand_over(&mut self, events: &Events) {
        let changed = std::mem::replace(&mut self.changes, events.changes()) != events.changes();
        if !changed && self.lasting.is_empty() {
            return;
        }
        let Post { socket, message, lasting, newest, changes, .. } = self;
        let mut send = |record: &[u8]| {
            let Some(boot) = events.boot_of(record) else { return true };
            message.clear();
            message.push(wire::EVENT);
            message.extend_from_slice(&boot.offset.to_le_bytes());
            message.push(boot.exact.into());
            message.extend_from_slice(record);
            sys::send(socket, message).is_ok()
        };
        let settled = (sys::since_boot().as_millis() as u64).saturating_sub(SETTLED);
        let may_change = |record: &[u8]| is_open(record) || number(record, END) > settled;
        lasting.retain_mut(|(id, check)| {
            let Some(record) = events.record(*id) else { return false };
            let now = crc32(0, record);
            if now != *check {
                if !send(record) {
                    return true;
                }
                *check = now;
            }
            may_change(record)
        });
        let day_ago = sys::unix_time().as_millis() as i64 - TOO_OLD;
        for id in (*newest + 1).max(events.last().saturating_sub(1000))..=events.last() {
            if let Some(record) = events.record(id) {
                // What lasts, or ended within the last day: its end may be all that somebody still waits for.
                let end = number(record, END);
                let is_recent =
                    end == u64::MAX || events.boot_of(record).is_some_and(|boot| end as i64 + boot.offset >= day_ago);
                if is_recent && !send(record) {
                    // Tried again at the next tick: the courier is behind.
                    *changes = u64::MAX;
                    return;
                }
                if is_recent && may_change(record) && lasting.len() < LASTING_MAX {
                    lasting.push((id, crc32(0, record)));
                }
            }
            *newest = id;
        }
    }

    /// Which measurements are due: [`METRICS`], [`DOCUMENT`] or both. `is_exact` says whether the clock is known to be right.
    fn due(&mut self, changes: u64, is_exact: bool, now: Duration) -> u8 {
        // A verdict begins or ends.
        if std::mem::replace(&mut self.seen, changes) != changes {
            self.done[1] = Duration::ZERO;
        }
        let mut due = 0;
        for (place, (every, done)) in self.every.iter().zip(&mut self.done).enumerate() {
            if self.greeted && every.is_some_and(|every| now.saturating_sub(*done) >= every) {
                // A server that was sent a time in the future refuses the present from then on.
                if place == 0 && !is_exact {
                    self.waits = self.waits.saturating_add(1);
                    if self.waits == WAITS_MAX {
                        crate::warn!("remote-write: nothing is sent before the clock is synchronized");
                    }
                    continue;
                }
                // Ticks are coarse: the next one is due as if this had been in time.
                let next = *done + every.unwrap_or_default();
                *done = if now.saturating_sub(next) < TICK_MAX { next } else { now };
                due |= 1 << place;
            }
        }
        due
    }

    /// Ends the courier, and waits until it is gone: a service manager that sees the agent end may kill what is left of it.
    pub fn end(&self) {
        let end = sys::since_boot() + FAREWELL;
        // An empty message is to the courier what a closed socket is.
        if sys::send(&self.socket, &[]).is_err() {
            return;
        }
        let mut buffer = [0; STATE_MAX];
        while let Some(left) = end.checked_sub(sys::since_boot()) {
            sys::wait_for_message(&self.socket, left.as_millis() as i32 + 1);
            match sys::receive(&self.socket, &mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// Hands over a page.
    fn send_page(&mut self, kind: u8, time: Duration, page: &[u8]) {
        self.message.clear();
        self.message.push(kind);
        if kind == wire::METRICS {
            self.message.extend_from_slice(&(time.as_millis() as u64).to_le_bytes());
        }
        self.message.extend_from_slice(page);
        let sent = sys::send(&self.socket, &self.message);
        let is_long = sent.is_err_and(|error| error.raw_os_error() == Some(libc::EMSGSIZE));
        if is_long && !std::mem::replace(&mut self.is_long, true) {
            crate::warn!("push: nothing is sent: {} bytes are more than the kernel hands over at once", page.len());
        }
    }
}

/// Keeps the courier up to date, for as long as the agent runs.
pub fn follow(agent: &'static Mutex<Agent>, post: &'static RefCell<Post>) -> Follow {
    // Before the first tick, which has events of its own.
    if let Ok(agent) = agent.try_lock() {
        post.borrow_mut().first = agent.events_kept().last();
    }
    Box::new(move |busy| {
        let mut mine = post.borrow_mut();
        mine.serve(busy);
        let is_exact = busy.events_kept().boot().is_some_and(|boot| boot.exact);
        let due = mine.due(busy.events_kept().changes(), is_exact, sys::since_boot());
        if due > 0 {
            task::spawn(Box::pin(hand_pages(agent, post, due)));
        }
    })
}

async fn hand_pages(agent: &'static Mutex<Agent>, post: &'static RefCell<Post>, due: u8) {
    let mut busy = agent.lock().await;
    if due & DOCUMENT > 0 {
        let page = busy.page(Format::Json, false, SHARED_FOR).await;
        post.borrow_mut().send_page(wire::DOCUMENT, Duration::ZERO, &page);
    }
    if due & METRICS > 0 {
        let page = match busy.tongue() {
            Tongue::Pi => Ok(busy.page(Format::Prometheus, false, SHARED_FOR).await),
            tongue => busy.page_in(tongue, &Choice::default(), false, SHARED_FOR).await,
        };
        let time = busy.last().moment.unix;
        if let Ok(page) = page {
            post.borrow_mut().send_page(wire::METRICS, time, &page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::events::record::ID;
    use crate::model::{Episode, Keep, Lane, Note, Severity, Unit, kinds};

    fn post() -> (Post, OwnedFd) {
        let [socket, other] = sys::socket_pair().unwrap();
        let minute = Some(Duration::from_secs(60));
        let post = Post {
            socket,
            tells: false,
            beats: false,
            every: [minute, minute],
            done: [Duration::ZERO; 2],
            beaten: Duration::ZERO,
            is_long: false,
            greeted: false,
            first: 0,
            newest: 0,
            lasting: Vec::new(),
            changes: 0,
            seen: 0,
            waits: 0,
            message: Vec::new(),
        };
        (post, other)
    }

    /// A courier that was started again needs it for the end, which somebody waits for.
    #[test]
    fn what_lasts_is_handed_over_however_long_it_has_lasted() {
        let (mut post, other) = post();
        let hour = 3_600;
        let mut events = Events::new(false);
        events.start(1, Duration::ZERO, sys::unix_time() - Duration::from_secs(60 * hour));
        let mut begin = |hours: u64, lasts| {
            events.begin(&Episode {
                note: Note {
                    kind: &kinds::VERDICT,
                    severity: Severity::Warning,
                    title: format_args!("x"),
                    detail: format_args!(""),
                    culprit: "",
                },
                lane: Lane::Trouble,
                rule: "disk_full",
                begin: Duration::from_secs(hours * hour),
                unit: Unit::Count,
                lasts,
            })
        };
        let ids = [begin(0, true), begin(1, false), begin(2, true), begin(58, false)];
        events.update(ids[2], Some(Duration::from_secs(59 * hour)), None);
        post.hand_over(&events);
        let mut got = Vec::new();
        let mut buffer = [0; STATE_MAX];
        while let Ok(length @ 1..) = sys::receive(&other, &mut buffer) {
            got.push(number(&buffer[10..length], ID));
        }
        assert_eq!(got, [ids[0], ids[2], ids[3]]);
    }

    #[test]
    fn what_lasts_again_is_handed_over_again() {
        let (mut post, other) = post();
        let mut events = Events::new(false);
        let now = sys::since_boot();
        events.start(1, now, sys::unix_time());
        let note = Note {
            kind: &kinds::VERDICT,
            severity: Severity::Warning,
            title: format_args!("x"),
            detail: format_args!(""),
            culprit: "",
        };
        let id = events.begin(&Episode {
            note,
            lane: Lane::Trouble,
            rule: "load_high",
            begin: now,
            unit: Unit::Count,
            lasts: true,
        });
        let mut ends = Vec::new();
        for end in [None, Some(now + Duration::from_secs(1)), None, Some(now + Duration::from_secs(2))] {
            events.update(id, end, None);
            post.hand_over(&events);
            let mut buffer = [0; STATE_MAX];
            while let Ok(length @ 1..) = sys::receive(&other, &mut buffer) {
                ends.push(number(&buffer[10..length], END) == u64::MAX);
            }
        }
        assert_eq!(ends, [true, false, true, false]);
    }

    #[test]
    fn metrics_wait_for_the_clock_and_keep_their_interval() {
        let (mut post, _other) = post();
        let now = |milliseconds| Duration::from_millis(1_000_000 + milliseconds);
        assert_eq!(post.due(0, true, now(0)), 0, "nobody is there");
        post.greeted = true;
        // The document does not wait: its readers have clocks of their own.
        assert_eq!((post.due(0, false, now(0)), post.due(0, false, now(2000))), (DOCUMENT, 0));
        assert_eq!(post.due(0, true, now(4000)), METRICS);
        let times: Vec<u64> =
            (3..200).map(|tick| tick * 2003).filter(|at| post.due(0, true, now(*at)) & METRICS > 0).collect();
        for (number, time) in times.iter().enumerate() {
            let expected = 4000 + 60_000 * (number as u64 + 1);
            assert!((expected..expected + 2003).contains(time), "{times:?}");
        }
        assert_eq!(times.len(), 6);
        // A verdict begins, and the machine slept.
        assert_eq!((post.due(1, true, now(400_000)), post.due(1, true, now(400_100))), (DOCUMENT, 0));
        assert_eq!((post.due(1, true, now(9_000_000)), post.due(1, true, now(9_002_000))), (METRICS | DOCUMENT, 0));
    }
}
