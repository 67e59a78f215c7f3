//! Evaluation: the agent over a file of questions with the real tools, judged by rule or by a model.
//!
//! Layout
//! - [`run`]: one question; `host` carries it, `watch` reads what the model writes, [`cause`] says what went wrong.
//! - [`runner`]: all questions, several in flight.
//! - [`session`]: what is decided already, on disk.
//! - [`tools`], [`tape`]: the tools of a question, recorded and replayed.
//! - [`judge`]: whether an answer is right, by rule; [`llm`]: by a model.
//! - [`scored`]: what came of a question.
//! - [`tally`], [`stats`]: shares with their intervals, quantiles, paired differences.
//! - [`report`]: report.json, report.md and plots.
//! - [`compare`]: two reports, question by question.
//! - [`error`]: why an evaluation cannot go on.

pub mod cause;
pub mod compare;
pub mod error;
mod host;
pub mod judge;
pub mod llm;
pub mod report;
pub mod run;
pub mod runner;
pub mod scored;
pub mod session;
pub mod stats;
pub mod tally;
pub mod tape;
pub mod tools;
mod watch;

pub use error::EvalError;
