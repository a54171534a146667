//! Turns for the check of passwords, one at a time, and the pause after a wrong credential.

use super::peer::Peer;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a wrong credential waits for its answer: somebody who mistypes, and each of many who guess.
const WRONG_PAUSE: Duration = Duration::from_secs(1);
const GUESS_PAUSE: Duration = Duration::from_secs(10);
/// From how many on that wait at once they are many.
const MANY: usize = 4;

/// The queue for checks of passwords, and the count of clients that are made to wait.
#[derive(Debug, Default)]
pub struct Turns {
    queue: RefCell<Queue>,
    /// Wakes those that wait when the queue has changed.
    changed: Notify,
    /// How many wrong credentials wait for their answers.
    pausing: Cell<usize>,
}

impl Turns {
    /// Waits until it is this client's turn. [`Turns::end`] ends the turn.
    pub async fn wait(&self, peer: Peer) {
        let waiting = Waiting { turns: self, number: self.queue.borrow_mut().join(peer) };
        loop {
            let changed = self.changed.notified();
            if self.queue.borrow_mut().take(waiting.number) {
                return;
            }
            changed.await;
        }
    }

    /// Ends the present turn.
    pub fn end(&self) {
        self.queue.borrow_mut().busy = false;
        self.changed.notify_waiters();
    }

    /// Waits as long as a wrong credential has to: longer while many guess at once.
    pub async fn pause(&self) {
        let pause = Pause::new(&self.pausing);
        tokio::time::sleep(if self.pausing.get() > MANY { GUESS_PAUSE } else { WRONG_PAUSE }).await;
        drop(pause);
    }
}

/// A wrong credential that waits for its answer.
struct Pause<'a>(&'a Cell<usize>);

impl<'a> Pause<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Pause(count)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A client in the queue; one that leaves also leaves the queue.
struct Waiting<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.queue.borrow_mut().waiting.retain(|(_, number, _)| *number != self.number);
        self.turns.changed.notify_waiters();
    }
}

/// The checks that wait: round by round, with one check of each client per round.
#[derive(Debug, Default)]
struct Queue {
    busy: bool,
    round: u64,
    last: u64,
    /// The round, a number for each, and the client.
    waiting: VecDeque<(u64, u64, Peer)>,
}

impl Queue {
    fn join(&mut self, peer: Peer) -> u64 {
        let ahead = self.waiting.iter().filter(|(_, _, other)| *other == peer).count() as u64;
        self.last += 1;
        self.waiting.push_back((self.round + ahead, self.last, peer));
        self.last
    }

    /// Takes the turn if it is that of `number`.
    fn take(&mut self, number: u64) -> bool {
        let next = self.waiting.iter().min_by_key(|(round, number, _)| (*round, *number));
        let Some(&(round, next, _)) = next else { return false };
        if self.busy || next != number {
            return false;
        }
        self.busy = true;
        // Who comes from now on waits for the next round, so that a client who asks again and again is not always first.
        self.round = round + 1;
        self.waiting.retain(|(_, number, _)| *number != next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns() {
        let (one, other) =
            (Peer::from(std::net::IpAddr::from([1, 1, 1, 1])), Peer::from(std::net::IpAddr::from([2, 2, 2, 2])));
        let mut queue = Queue::default();
        let many: Vec<_> = (0..10).map(|_| queue.join(one)).collect();
        assert!(queue.take(many[0]) && !queue.take(many[1]), "one at a time");
        let late = queue.join(other);
        queue.busy = false;
        assert!(!queue.take(many[2]));
        // The second of the many came first; the other client is next, and does not wait for all of them.
        assert!(queue.take(many[1]));
        queue.busy = false;
        assert!(queue.take(late));
    }
}
