//! What the server did with clients beyond answering them: counted there, reported by the agent's collector.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was dropped or a request refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No slot was free for it, or it was evicted for another.
    Full,
    /// A request's head did not come in time.
    SlowRequest,
    /// An answer could not be made in time.
    SlowAnswer,
    /// The client did not read what it had asked for.
    SlowReader,
    /// No HTTP that is understood here, or too much of it.
    Malformed,
    /// A name in `Host` that is not served.
    Host,
    /// No credential, or a wrong one.
    Access,
}

/// The names of all reasons, in their order.
pub static REASONS: [&str; 7] = ["full", "slow_request", "slow_answer", "slow_reader", "malformed", "host", "access"];

static OPEN: AtomicU64 = AtomicU64::new(0);
static REFUSED: [AtomicU64; REASONS.len()] = [const { AtomicU64::new(0) }; REASONS.len()];

/// Remembers that something was refused.
pub fn refused(reason: Reason) {
    REFUSED[reason as usize].fetch_add(1, Ordering::Relaxed);
}

/// Remembers how many connections there are.
pub fn open(count: usize) {
    OPEN.store(count as u64, Ordering::Relaxed);
}

/// Returns how many connections there are, and how often each reason was met since the start.
pub fn counts() -> (u64, [u64; REASONS.len()]) {
    (OPEN.load(Ordering::Relaxed), std::array::from_fn(|reason| REFUSED[reason].load(Ordering::Relaxed)))
}
