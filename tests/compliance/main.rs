//! What any server of protocol version 1 has to keep, held against this one in-process with a scripted model, the
//! real agent, the real local index and the real store.
//!
//! - `harness`: a server in a temporary folder, and calls to it.
//! - `stream`: the event log: numbers, resuming, its one last event.
//! - `cancel`, `restart`, `crops`, `shares`, `images`: one part of the protocol each.
//! - `bad_input`: what is wrong, and the status and code that say so.
//! - `site`: pages, headers, and what browsers load.
//! - `program`: the real program, killed in the middle of a run, or started where it cannot work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod cancel;
mod crops;
mod harness;
mod images;
mod program;
mod restart;
mod shares;
mod site;
mod stream;
