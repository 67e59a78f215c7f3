//! The agent: what the model writes, the tools it uses, the turns between them.
//!
//! Layout
//! - [`dialect`]: how a checkpoint writes what it does, and how turns are written to it.
//! - [`information`]: what the model reads of a tool's result.
//! - [`host`]: what a run needs from whoever carries it: a place for events, the browser's crops.

pub mod dialect;
pub mod host;
pub mod information;
