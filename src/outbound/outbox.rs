//! What remains to be sent to one receiver, and when: no threads, no sockets, and the time is an argument.
//!
//! What begins together is one message. While something lasts, it is told again from time to time. After ten messages in an hour
//! the next one waits until the hour is over, and then tells all that happened since: it is the summary.

use std::time::Duration;

/// For how long a message waits for what belongs to it.
const GATHER: Duration = Duration::from_secs(2);
/// How many messages there may be in [`HOUR`].
pub const MOST: usize = 10;
pub const HOUR: Duration = Duration::from_secs(3600);
/// The pause after the first failure, and the longest.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// The most events that are remembered as lasting, over a start of the agent too.
pub const LASTING_MAX: usize = 16;

/// How often a receiver wants messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// When to repeat a message about something that lasts.
    pub repeat: Duration,
    /// Whether [`MOST`] holds for it.
    pub limited: bool,
}

/// An event that concerns a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    id: u64,
    /// When something about it was last new.
    since: Duration,
    /// Whether its begin was reported.
    told: bool,
    over: bool,
}

/// What remains to be sent to a receiver, and how sending went.
#[derive(Debug)]
pub struct Outbox {
    manner: Manner,
    items: Vec<Item>,
    /// The newest event that it knows of.
    newest: u64,
    /// The last events whose end was reported, and the place of the next one.
    ended: [u64; LASTING_MAX],
    ended_next: usize,
    /// When the last messages got there, the oldest at `next`.
    sent: [Option<Duration>; MOST],
    next: usize,
    failures: u32,
    not_before: Duration,
    /// Since when it is there: what it knew before is repeated as if it had been sent then.
    began: Duration,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until then, or until something happens.
    Wait(Option<Duration>),
    /// To tell these events.
    Tell(Vec<u64>),
}

impl Outbox {
    /// For a receiver that knows, at this time since boot, of all events up to `newest`, and of those of `lasting` that they began.
    pub fn new(manner: Manner, newest: u64, lasting: &[u64], began: Duration) -> Self {
        let item = |id: &u64| Item { id: *id, since: Duration::ZERO, told: true, over: false };
        Outbox {
            manner,
            items: lasting.iter().map(item).collect(),
            newest,
            ended: [0; LASTING_MAX],
            ended_next: 0,
            sent: [None; MOST],
            next: 0,
            failures: 0,
            not_before: Duration::ZERO,
            began,
        }
    }

    /// Learns of an event, or that one is over.
    pub fn learn(&mut self, id: u64, over: bool, now: Duration) {
        match self.items.iter_mut().find(|item| item.id == id) {
            Some(item) if over != item.over => (item.over, item.since) = (over, now),
            Some(_) => {}
            // It is new, or lasts again after its end was reported.
            None if id > self.newest || !over && self.ended.contains(&id) => {
                self.items.push(Item { id, since: now, told: false, over })
            }
            None => {}
        }
        self.newest = self.newest.max(id);
    }

    /// Forgets an event that is not kept any more; returns whether that leaves something unreported.
    pub fn forget(&mut self, id: u64) -> bool {
        let untold = self.items.iter().any(|item| item.id == id && (!item.told || item.over));
        self.items.retain(|item| item.id != id);
        untold
    }

    /// Whether an event may be forgotten: there is nothing left to say about it.
    pub fn is_done(&self, id: u64) -> bool {
        self.items.iter().all(|item| item.id != id)
    }

    /// How many events wait to be reported.
    pub fn waiting(&self) -> u64 {
        self.items.iter().filter(|item| !item.told || item.over).count() as u64
    }

    /// Returns what to report now, or how long to wait.
    pub fn next(&self, now: Duration) -> Next {
        let news = self.items.iter().filter(|item| !item.told || item.over);
        let gathered = news.map(|item| item.since + GATHER).min();
        let last = self.sent[(self.next + MOST - 1) % MOST].unwrap_or(self.began);
        let repeat = self.items.iter().any(|item| item.told && !item.over).then(|| last + self.manner.repeat);
        let Some(due) = gathered.into_iter().chain(repeat).min() else { return Next::Wait(None) };
        let mut start = due.max(self.not_before);
        if let Some(oldest) = self.sent[self.next].filter(|_| self.manner.limited) {
            start = start.max(oldest + HOUR);
        }
        if start > now {
            return Next::Wait(Some(start - now));
        }
        // Whatever else there is goes along. Where nothing is new, it is a repetition.
        let is_news = gathered.is_some_and(|at| at <= now) || repeat.is_none();
        let chosen = self.items.iter().filter(|item| !is_news || !item.told || item.over || !self.manner.limited);
        Next::Tell(chosen.map(|item| item.id).collect())
    }

    /// Returns whether the begin of an event was reported, and whether it is over.
    pub fn state(&self, id: u64) -> (bool, bool) {
        self.items.iter().find(|item| item.id == id).map_or((false, false), |item| (item.told, item.over))
    }

    /// Learns that the message with these events arrived. The flag of each says whether it reported the end.
    pub fn arrived(&mut self, ids: &[(u64, bool)], now: Duration) {
        self.settle(ids);
        self.sent[self.next] = Some(now);
        self.next = (self.next + 1) % MOST;
        (self.failures, self.not_before) = (0, now);
    }

    /// Notes that this is said of these events, or that there is nothing to say. Without a message it counts as none.
    pub fn settle(&mut self, ids: &[(u64, bool)]) {
        for (id, over) in ids {
            if let Some(item) = self.items.iter_mut().find(|item| item.id == *id) {
                item.told = true;
                if *over {
                    self.ended[self.ended_next] = *id;
                    self.ended_next = (self.ended_next + 1) % LASTING_MAX;
                    self.items.retain(|item| item.id != *id);
                }
            }
        }
    }

    /// Learns that the message did not arrive; the server may have said how long to wait.
    pub fn failed(&mut self, wait: Option<Duration>, now: Duration) {
        let pause = PAUSE * (1 << self.failures.min(7));
        self.failures += 1;
        self.not_before = now + wait.unwrap_or(pause).min(PAUSE_MAX);
    }

    /// Returns the state that a restart needs: the event up to which everything was reported, and which of those still last.
    pub fn known(&self) -> (u64, impl Iterator<Item = u64>) {
        let untold = self.items.iter().filter(|item| !item.told).map(|item| item.id).min();
        let told = self.items.iter().filter(|item| item.told).map(|item| item.id);
        (untold.map_or(self.newest, |id| id - 1), told.take(LASTING_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner = Manner { repeat: Duration::from_secs(4 * 3600), limited: true };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Reports what is due from one second to another; returns each report with its time.
    fn play(
        outbox: &mut Outbox,
        from: u64,
        to: u64,
        happens: &[(u64, u64, bool)],
        works: &dyn Fn(u64) -> bool,
    ) -> Vec<(u64, Vec<u64>)> {
        let mut told = Vec::new();
        for second in from..to {
            let now = seconds(second);
            for (_, id, over) in happens.iter().filter(|(at, ..)| *at == second) {
                outbox.learn(*id, *over, now);
            }
            if let Next::Tell(ids) = outbox.next(now) {
                if works(second) {
                    let states: Vec<_> = ids.iter().map(|id| (*id, outbox.state(*id).1)).collect();
                    outbox.arrived(&states, now);
                    told.push((second, ids));
                } else {
                    outbox.failed(None, now);
                }
            }
        }
        told
    }

    #[test]
    fn what_begins_together_is_one_message_and_its_end_another() {
        let mut outbox = Outbox::new(MANNER, 4, &[], seconds(0));
        let happens = [(10, 3, false), (10, 5, false), (11, 6, false), (20, 6, true), (50, 5, true), (60, 7, true)];
        let told = play(&mut outbox, 0, 200, &happens, &|_| true);
        assert_eq!(told, [(12, vec![5, 6]), (22, vec![6]), (52, vec![5]), (62, vec![7])]);
        assert_eq!((outbox.known().0, outbox.known().1.count(), outbox.waiting()), (7, 0, 0));
    }

    #[test]
    fn what_lasts_is_told_again() {
        let mut outbox = Outbox::new(MANNER, 0, &[], seconds(0));
        let told = play(&mut outbox, 0, 30_000, &[(0, 1, false)], &|_| true);
        assert_eq!(told, [(2, vec![1]), (14_402, vec![1]), (28_802, vec![1])]);
        assert_eq!(outbox.known().1.collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn ten_in_an_hour_and_then_a_summary() {
        let mut outbox = Outbox::new(MANNER, 0, &[], seconds(0));
        let happens: Vec<_> = (1..=100).map(|id| (id * 30, id, true)).collect();
        let told = play(&mut outbox, 0, 8000, &happens, &|_| true);
        assert_eq!(told.len(), 11);
        assert_eq!(told[9].0, 302);
        assert_eq!(told[10], (3632, (11..=100).collect()));
    }

    #[test]
    fn an_hour_without_network_loses_nothing() {
        let mut outbox = Outbox::new(MANNER, 0, &[], seconds(0));
        let happens = [(10, 1, false), (1000, 1, true), (2000, 2, false), (3000, 3, true)];
        let told = play(&mut outbox, 0, 8000, &happens, &|second| second > 3700);
        let (at, ids) = &told[0];
        assert!(*at <= 3700 + PAUSE_MAX.as_secs() && *ids == [1, 2, 3] && told.len() == 1, "{told:?}");
        assert_eq!(outbox.known().1.collect::<Vec<_>>(), [2]);
        // A server that says how long to wait is believed, up to a limit.
        outbox.learn(9, true, seconds(9000));
        outbox.failed(Some(seconds(30)), seconds(9000));
        assert_eq!(outbox.next(seconds(9010)), Next::Wait(Some(seconds(20))));
    }

    #[test]
    fn a_start_goes_on_where_the_last_one_ended() {
        let mut outbox = Outbox::new(MANNER, 7, &[3, 5], seconds(0));
        let happens = [(1, 3, true), (1, 4, true), (1, 5, false), (1, 8, true)];
        assert_eq!(play(&mut outbox, 0, 100, &happens, &|_| true), [(3, vec![3, 8])]);
        outbox.learn(9, false, seconds(100));
        outbox.learn(10, true, seconds(100));
        let (told, lasting) = outbox.known();
        assert_eq!((told, lasting.collect::<Vec<_>>()), (8, vec![5]));
        assert!(outbox.forget(10) && !outbox.forget(5) && outbox.is_done(5) && !outbox.is_done(9));
    }

    #[test]
    fn what_lasts_again_after_its_end_was_reported_is_told_again() {
        let mut outbox = Outbox::new(MANNER, 0, &[], seconds(0));
        let happens = [(10, 1, false), (20, 1, true), (40, 1, false), (90, 1, true), (95, 1, true)];
        let told = play(&mut outbox, 0, 200, &happens, &|_| true);
        assert_eq!(told, [(12, vec![1]), (22, vec![1]), (42, vec![1]), (92, vec![1])]);
        // An end that was not reported yet is none.
        let mut outbox = Outbox::new(MANNER, 0, &[], seconds(0));
        let happens = [(10, 1, false), (20, 1, true), (21, 1, false), (50, 1, true)];
        assert_eq!(play(&mut outbox, 0, 200, &happens, &|_| true), [(12, vec![1]), (52, vec![1])]);
    }

    #[test]
    fn what_lasts_is_not_repeated_because_the_courier_starts() {
        let began = seconds(5 * 3600);
        let outbox = Outbox::new(MANNER, 7, &[3], began);
        assert_eq!(outbox.next(began + seconds(1)), Next::Wait(Some(MANNER.repeat - seconds(1))));
        assert_eq!(outbox.next(began + MANNER.repeat), Next::Tell(vec![3]));
    }

    #[test]
    fn what_there_is_nothing_to_say_about_is_no_message() {
        let lasting: Vec<_> = (1..=MOST as u64 + 1).collect();
        let mut outbox = Outbox::new(MANNER, 20, &lasting, seconds(0));
        outbox.failed(None, seconds(1));
        lasting.iter().for_each(|id| outbox.settle(&[(*id, true)]));
        assert!(lasting.iter().all(|id| outbox.is_done(*id)));
        // Neither does the server look as if it had answered, nor are the messages of this hour used up.
        outbox.learn(21, true, seconds(2));
        assert_eq!(outbox.next(seconds(5)), Next::Wait(Some(seconds(1))));
        assert_eq!(outbox.next(seconds(6)), Next::Tell(vec![21]));
    }

    #[test]
    fn who_keeps_the_state_itself_gets_all_of_it_each_time() {
        let manner = Manner { repeat: seconds(60), limited: false };
        let mut outbox = Outbox::new(manner, 0, &[], seconds(0));
        let told = play(&mut outbox, 0, 140, &[(0, 1, false), (30, 2, false), (100, 1, true)], &|_| true);
        assert_eq!(told, [(2, vec![1]), (32, vec![1, 2]), (92, vec![1, 2]), (102, vec![1, 2])]);
    }
}
