//! The agent: what the model writes, the tools it uses, the turns between them.
//!
//! Layout
//! - [`agent`]: a model with its tools; one query in, events out.
//! - [`budget`]: what a run may spend.
//! - [`conversation`]: the messages that the model reads.
//! - [`dialect`]: how a checkpoint writes what it does, and how turns are written to it.
//! - [`error`]: why a run ends without an answer.
//! - [`host`]: what a run needs from whoever carries it: a place for events, the browser's crops.
//! - [`information`]: what the model reads of a tool's result.
//! - `run`: one run: turns, tools, grounding, workflows.
//! - `ledger`: the hits of a run, and which of them may be stored and shown.
//! - `cite`: which hits support which sentences of the answer.
//! - `meter`: what the turns cost.

pub mod agent;
pub mod budget;
mod cite;
pub mod conversation;
pub mod dialect;
pub mod error;
pub mod host;
pub mod information;
mod ledger;
mod meter;
mod run;

pub use agent::{Agent, AgentConfig, RunEnd};
pub use budget::{Budgets, Limit};
pub use error::AgentError;
