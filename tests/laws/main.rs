//! Laws over the tables, golden outputs of the fixture boards, and generated documentation.
//!
//! `BLESS=1 cargo test --test laws` writes goldens and documentation anew.

mod boards;
mod documentation;
mod faults;
mod goldens;
mod rooms;
mod table;
