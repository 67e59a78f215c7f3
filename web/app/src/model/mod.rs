//! What the client knows and how it changes, free of the browser.
//!
//! - [`session`]: the one store and its actions.
//! - [`frame`]: the frame's arithmetic.
//! - [`timeline`]: a run's steps as lines to draw.
//! - [`sources`]: the answer in pieces, with numbered sources.
//! - [`route`]: addresses.
//! - [`sse`]: server-sent events out of bytes.
//! - [`upload`]: which files are taken and at which size they travel.
//! - [`header`]: a picture's size before it is decoded.
//! - [`links`]: the shared links this browser can delete.
//! - [`problem`]: errors as people read them.

pub mod frame;
pub mod header;
pub mod links;
pub mod problem;
pub mod route;
pub mod session;
pub mod sources;
pub mod sse;
pub mod timeline;
pub mod upload;
