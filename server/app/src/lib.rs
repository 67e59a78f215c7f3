//! The Loupe program: command line and server.
//!
//! Layout
//! - [`cli`]: the command line and its exit status.
//! - [`commands`]: one file per command.

pub mod cli;
pub mod commands;
