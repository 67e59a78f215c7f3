//! Evaluation: the agent over a file of questions with the real tools, judged by rule.
//!
//! Layout
//! - [`judge`]: whether an answer is right.
//! - [`run`]: the agent over the questions; `host` carries a run, `watch` reads what the model writes.
//! - [`tally`]: shares with their intervals.
//! - [`report`]: report.json and report.md.

mod host;
pub mod judge;
pub mod report;
pub mod run;
pub mod tally;
mod watch;
