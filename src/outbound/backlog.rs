//! What waits for a remote-write server: moments that have not arrived yet, bounded by age and by bytes.
//!
//! A request holds one moment, so that one which is refused takes no other along. It is made of the moment's samples whenever it is
//! sent, with the same bytes each time.

use super::delta;
use crate::format::{remote_write::write_request, snappy};
use std::time::Duration;

/// How much what waits may take.
const BYTES_MAX: usize = 256 << 10;
/// How long to wait after a failure: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What the server's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// Try again later.
    Failed,
    /// Never try this one again.
    Refused,
}

/// A moment that waits.
#[derive(Debug)]
struct Moment {
    /// When it came, on the clock of the caller.
    at: Duration,
    unix_ms: i64,
    /// What changed since the moment before.
    delta: Vec<u8>,
}

/// The moments that wait. Times are on any clock that only goes forward.
#[derive(Debug)]
pub struct Backlog {
    labels: Vec<(String, String)>,
    age_max: Duration,
    moments: Vec<Moment>,
    /// The bytes of all deltas.
    bytes: usize,
    /// The samples of the moment before the first that waits; empty while none does.
    base: Vec<u8>,
    /// The samples of the last moment.
    newest: Vec<u8>,
    /// Whether the first moment is on its way.
    is_sending: bool,
    pause: Duration,
    not_before: Duration,
    /// What became of the last request, if any.
    pub last: Option<Outcome>,
    pub sent: u64,
    /// How many were refused, and how many were too old or too much.
    pub refused: u64,
    pub dropped: u64,
}

impl Backlog {
    /// Creates an empty one for samples that get these labels.
    pub const fn new(labels: Vec<(String, String)>, age_max: Duration) -> Self {
        Backlog {
            labels,
            age_max,
            moments: Vec::new(),
            bytes: 0,
            base: Vec::new(),
            newest: Vec::new(),
            is_sending: false,
            pause: Duration::ZERO,
            not_before: Duration::ZERO,
            last: None,
            sent: 0,
            refused: 0,
            dropped: 0,
        }
    }

    /// Adds a page of the text format, read at `unix_ms`.
    pub fn push(&mut self, page: &[u8], unix_ms: i64, now: Duration) {
        let mut samples = Vec::with_capacity(page.len() / 2);
        delta::strip(page, &mut samples);
        samples.shrink_to_fit();
        let mut changes = Vec::new();
        delta::write(&self.newest, &samples, &mut changes);
        changes.shrink_to_fit();
        let before = std::mem::replace(&mut self.newest, samples);
        if self.moments.is_empty() {
            self.base = before;
        }
        self.bytes += changes.len();
        self.moments.push(Moment { at: now, unix_ms, delta: changes });
        self.trim(now);
    }

    /// Returns how many moments wait.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.moments.len()
    }

    /// Returns when the next request is due; `None` while nothing waits or one is on its way.
    pub fn due(&self) -> Option<Duration> {
        (!self.is_sending && !self.moments.is_empty()).then_some(self.not_before)
    }

    /// Returns the body of the next request, if one is due. Then [`Backlog::answer`] must be called.
    pub fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.trim(now);
        let first = self.moments.first().filter(|_| !self.is_sending && now >= self.not_before)?;
        let (mut samples, mut request, mut body) = (Vec::new(), Vec::new(), Vec::new());
        delta::apply(&self.base, &first.delta, &mut samples);
        write_request(&samples, &self.base, &self.labels, first.unix_ms, &mut request);
        snappy(&request, &mut body);
        self.is_sending = true;
        Some(body)
    }

    /// Takes the answer: its status, 0 if there was none, and what its header Retry-After says.
    pub fn answer(&mut self, status: u16, retry_after: Option<Duration>, now: Duration) -> Outcome {
        self.is_sending = false;
        let outcome = match status {
            200..=299 => Outcome::Sent,
            0 | 429 | 500.. => Outcome::Failed,
            _ => Outcome::Refused,
        };
        self.last = Some(outcome);
        if outcome == Outcome::Failed {
            self.pause = (self.pause * 2).clamp(PAUSE, PAUSE_MAX);
            let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            self.not_before = now + self.pause.max(asked);
        } else {
            self.pause = Duration::ZERO;
            let count = if outcome == Outcome::Sent { &mut self.sent } else { &mut self.refused };
            *count += 1;
            self.shift();
        }
        self.trim(now);
        outcome
    }

    /// Drops the oldest while they are too old or too much, but not one that is on its way.
    fn trim(&mut self, now: Duration) {
        while let Some(first) = self.moments.first() {
            // The server may be there again in time, and the next attempt only after the longest pause.
            let is_old = now.saturating_sub(first.at) > self.age_max + 2 * PAUSE_MAX;
            if self.is_sending || !is_old && self.bytes <= BYTES_MAX {
                break;
            }
            self.shift();
            self.dropped += 1;
        }
    }

    /// Forgets the first moment.
    fn shift(&mut self) {
        if !self.moments.is_empty() {
            let Moment { delta, .. } = self.moments.remove(0);
            self.bytes -= delta.len();
            let mut samples = Vec::new();
            if !self.moments.is_empty() {
                delta::apply(&self.base, &delta, &mut samples);
            }
            self.base = samples;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn body(page: &str, before: &str, unix_ms: i64) -> Vec<u8> {
        let (mut request, mut out) = (Vec::new(), Vec::new());
        write_request(page.as_bytes(), before.as_bytes(), &[], unix_ms, &mut request);
        snappy(&request, &mut out);
        out
    }

    fn page(number: usize) -> String {
        // One series comes and goes.
        let odd = if number % 7 == 3 { "odd 1\n" } else { "" };
        format!("# TYPE a gauge\na {number}\n{odd}b{{x=\"1\"}} 0.{number}\n")
    }

    fn seconds(count: usize) -> Duration {
        Duration::from_secs(count as u64)
    }

    #[test]
    fn an_hour_without_network_loses_nothing() {
        let mut backlog = Backlog::new(Vec::new(), HOUR);
        let mut arrived = Vec::new();
        let mut tries = 0;
        // Each second of two hours; the network is away for an hour less a minute.
        for second in 0..7200 {
            let now = seconds(second);
            if second % 60 == 0 {
                backlog.push(page(second / 60).as_bytes(), second as i64 * 1000, now);
            }
            while let Some(body) = backlog.take(now) {
                tries += 1;
                let is_away = (1000..4540).contains(&second);
                if !is_away {
                    arrived.push(body);
                }
                backlog.answer(if is_away { 0 } else { 204 }, None, now);
            }
        }
        let expected: Vec<_> = (0..120)
            .map(|number: usize| {
                let before = number.checked_sub(1).map(page).unwrap_or_default();
                body(&page(number), &before, number as i64 * 60_000)
            })
            .collect();
        assert!(arrived == expected, "{} arrived", arrived.len());
        assert_eq!((backlog.sent, backlog.refused, backlog.dropped), (120, 0, 0));
        assert_eq!((backlog.bytes, backlog.base.len(), backlog.due()), (0, 0, None));
        assert!((120 + 60..120 + 75).contains(&tries), "{tries} tries");
    }

    #[test]
    fn the_same_again_and_never_two_at_once() {
        let mut backlog = Backlog::new(Vec::new(), HOUR);
        assert_eq!((backlog.due(), backlog.take(MINUTE)), (None, None));
        backlog.push(page(1).as_bytes(), 1, Duration::ZERO);
        let first = backlog.take(Duration::ZERO).unwrap();
        // More comes while one is on its way.
        backlog.push(page(2).as_bytes(), 2, MINUTE);
        assert_eq!((backlog.due(), backlog.take(MINUTE)), (None, None));
        assert_eq!(backlog.answer(503, None, MINUTE), Outcome::Failed);
        assert_eq!(backlog.due(), Some(MINUTE + PAUSE));
        assert_eq!(backlog.take(MINUTE), None);
        assert_eq!(backlog.take(MINUTE * 2), Some(first));
        assert_eq!(backlog.answer(200, None, MINUTE * 2), Outcome::Sent);
        assert_eq!(backlog.take(MINUTE * 2), Some(body(&page(2), &page(1), 2)));
    }

    #[test]
    fn pauses_grow_and_obey() {
        let mut backlog = Backlog::new(Vec::new(), HOUR);
        backlog.push(b"a 1\n", 1, Duration::ZERO);
        let mut now = Duration::ZERO;
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            backlog.take(now).unwrap();
            backlog.answer(500, None, now);
            assert_eq!(backlog.due(), Some(now + Duration::from_secs(expected)));
            now = backlog.due().unwrap();
        }
        for (asked, expected) in [(90, 90), (3, 60), (u64::MAX, 3600)] {
            backlog.take(now).unwrap();
            assert_eq!(backlog.answer(429, Some(Duration::from_secs(asked)), now), Outcome::Failed);
            assert_eq!(backlog.due(), Some(now + Duration::from_secs(expected)), "{asked}");
            backlog.not_before = now;
        }
        backlog.take(now).unwrap();
        backlog.answer(204, None, now);
        backlog.push(b"a 1\n", 1, now);
        backlog.take(now).unwrap();
        backlog.answer(0, None, now);
        assert_eq!(backlog.due(), Some(now + PAUSE), "the pause begins anew");
    }

    #[test]
    fn what_is_refused_is_gone() {
        let mut backlog = Backlog::new(Vec::new(), HOUR);
        for number in 1..4 {
            backlog.push(page(number).as_bytes(), number as i64, Duration::ZERO);
        }
        for (number, status) in [(1, 400), (2, 302), (3, 404)] {
            let before = if number == 1 { String::new() } else { page(number - 1) };
            assert_eq!(backlog.take(MINUTE), Some(body(&page(number), &before, number as i64)));
            assert_eq!(backlog.answer(status, Some(HOUR), MINUTE), Outcome::Refused);
        }
        assert_eq!((backlog.sent, backlog.refused, backlog.due()), (0, 3, None));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut backlog = Backlog::new(Vec::new(), HOUR);
        for number in 0..100 {
            backlog.push(page(number).as_bytes(), number as i64, MINUTE * number as u32);
        }
        assert_eq!((backlog.dropped, backlog.moments.len()), (37, 63));
        let now = MINUTE * 99;
        assert_eq!(backlog.take(now), Some(body(&page(37), &page(36), 37)));
        // What is on its way stays, however long it takes.
        backlog.push(b"z 1\n", 100, HOUR * 9);
        assert_eq!(backlog.dropped, 37);
        backlog.answer(0, None, HOUR * 9);
        assert_eq!(backlog.dropped, 37 + 63);
        assert_eq!(backlog.take(HOUR * 10), Some(body("z 1\n", &page(99), 100)));
    }

    #[test]
    fn much_waits_for_less_long() {
        let mut backlog = Backlog::new(Vec::new(), HOUR * 1000);
        let large =
            |number: usize| -> String { (0..2000).map(|row| format!("a{{n=\"{row}\"}} {row}{number}\n")).collect() };
        for number in 0..60 {
            backlog.push(large(number).as_bytes(), number as i64, Duration::ZERO);
            assert!(backlog.bytes <= BYTES_MAX, "{}", backlog.bytes);
        }
        assert!(backlog.dropped > 10, "{}", backlog.dropped);
        let first = backlog.dropped as usize;
        let expected = body(&large(first), &large(first - 1), first as i64);
        assert!(backlog.take(Duration::ZERO) == Some(expected));
    }

    #[test]
    fn an_hour_of_a_real_page_fits() {
        let all = std::fs::read_to_string("tests/goldens/pi-5.txt").unwrap();
        let (page, _) = all.split_once("-- openmetrics --").unwrap();
        let mut backlog = Backlog::new(Vec::new(), HOUR);
        for number in 0..60 {
            // Every other value changes in its last three digits.
            let mut odd = false;
            let mut change = |line: &str| {
                odd = !odd;
                if odd && !line.starts_with('#') { format!("{line}{}\n", 123 + number) } else { format!("{line}\n") }
            };
            let page: String = page.lines().map(&mut change).collect();
            backlog.push(page.as_bytes(), number, Duration::ZERO);
        }
        assert_eq!(backlog.dropped, 0);
        assert!(backlog.bytes < BYTES_MAX / 2, "{}", backlog.bytes);
    }
}
