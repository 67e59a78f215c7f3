//! The protocol, version 1. Fields are only ever added, optional and defaulted; readers keep kinds they do not know.
//!
//! - [`event`]: the typed events of a run.
//! - [`envelope`]: `{v, seq, at, kind, data}` around each of them, as stored and as sent.
//! - [`api`]: bodies of requests and answers.
//! - [`fold`]: a run's state as the fold of its events, the same on the server and in the browser.

pub mod api;
pub mod envelope;
pub mod event;
pub mod fold;

pub use api::*;
pub use envelope::{Envelope, EnvelopeError, PROTOCOL_VERSION};
pub use event::*;
pub use fold::{RunState, Status, Step, StepResult};
