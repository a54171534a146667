//! Laws over the tables, golden outputs of the boards, and generated documentation.
//!
//! `BLESS=1 cargo test --test laws` writes goldens and documentation anew.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod boards;
mod book;
mod chapters;
mod chronicle;
mod doctor;
mod documentation;
mod faults;
mod figures;
mod goldens;
mod messages;
mod needs;
mod packing;
mod page;
mod quiet;
mod ran;
mod repeated;
mod reports;
mod rooms;
mod runbooks;
mod spelling;
mod table;
mod toolchain;
