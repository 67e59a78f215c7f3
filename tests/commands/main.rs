//! The real program at work in folders: killed with SIGKILL in the middle of each stage and run again, it must end as
//! a run that nobody killed; and it asks other people's questions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod killed;
mod layouts;
mod program;
