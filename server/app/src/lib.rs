//! The Loupe program: command line and server.
//!
//! Layout
//! - [`cli`]: the command line and its exit status.
//! - [`commands`]: one file per command.
//! - [`data`]: the data folder.
//! - [`images`]: pictures from outside, checked, decoded, kept by content.
//! - [`store`]: queries, events and shares in SQLite.
//! - [`moment`], [`random`]: the clock; identifiers and secrets.

pub mod cli;
pub mod commands;
pub mod data;
pub mod images;
pub mod moment;
pub mod random;
pub mod store;
