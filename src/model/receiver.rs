//! Who hears of what happens, and how sending went.

/// The outcomes of telling, in the order of [`Receiver::counts`].
pub const OUTCOMES: [&str; 3] = ["sent", "failed", "dropped"];

/// Somebody that messages or measurements are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// What it is and where, such as `ntfy http://ntfy.local`.
    pub name: String,
    /// Whether it gets measurements, not messages.
    pub is_push: bool,
    /// How often sending had each of [`OUTCOMES`].
    pub counts: [u64; OUTCOMES.len()],
    /// How many events or collections wait.
    pub waiting: u64,
    /// When something last got there, in seconds of the Unix epoch; 0 for never.
    pub last: u64,
}
