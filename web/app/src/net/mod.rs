//! Calls to the server.
//!
//! - [`http`]: one request, one answer, one kind of error.
//! - [`api`]: the calls of the protocol.
//! - [`follow`]: the stream of a run's events, opened again where it breaks.

pub(crate) mod api;
pub(crate) mod follow;
pub(crate) mod http;
