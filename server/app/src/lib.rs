//! The Loupe program: command line and server.
//!
//! Layout
//! - [`cli`]: the command line and its exit status.
//! - [`commands`]: one file per command.
//! - [`settings`]: file, environment and flags, checked once.
//! - [`data`]: the data folder.
//! - [`model`], [`search`]: what answers, and what is searched.
//! - [`remote`]: decoding by other servers.
//! - [`server`]: the server from start to stop; [`logging`]: its log.
//! - [`http`]: the server's calls.
//! - [`runs`]: queries being answered.
//! - [`store`]: queries, events and shares in SQLite.
//! - [`images`]: pictures from outside, checked, decoded, kept by content.
//! - [`narrator`]: a run as people read it in a terminal.
//! - [`metrics`]: what the program tells of itself.
//! - [`moment`], [`random`], [`text`]: the clock; identifiers and secrets; text for pages and addresses.

pub mod cli;
pub mod commands;
pub mod data;
pub mod http;
pub mod images;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod moment;
pub mod narrator;
pub mod random;
pub mod remote;
pub mod runs;
pub mod search;
pub mod server;
pub mod settings;
pub mod store;
pub mod text;
