//! What the client knows and how it changes, free of the browser.
//!
//! - [`session`]: the one store and its actions.
//! - [`frame`]: the frame's arithmetic.
//! - [`timeline`]: a run's steps as lines to draw.
//! - [`sources`]: the answer in pieces, with numbered sources.
//! - [`route`]: what an address asks for.
//! - [`sse`]: server-sent events out of bytes.
//! - [`upload`]: the size at which a picture travels.
//! - [`png`]: pixels as a file.
//! - [`links`]: the shared links this browser can delete.
//! - [`problem`]: errors as people read them.

pub mod frame;
pub mod links;
pub mod png;
pub mod problem;
pub mod route;
pub mod session;
pub mod sources;
pub mod sse;
pub mod timeline;
pub mod upload;
