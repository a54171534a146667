//! The process itself: its log, its confinement, and how it counts its clients.

pub mod log;
pub mod sandbox;
pub mod task;
#[cfg(feature = "tls")]
pub mod tls;
pub mod traffic;
