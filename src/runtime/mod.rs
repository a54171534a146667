//! The process itself: its log, its confinement, and how it counts its clients.

pub mod log;
pub mod sandbox;
pub mod task;
pub mod traffic;
