//! The agent: what the model writes, the tools it uses, the turns between them.
//!
//! Layout
//! - [`host`]: what a run needs from whoever carries it: a place for events, the browser's crops.

pub mod host;
