//! The studio: a worker that holds the original picture and cuts what is uploaded out of it.
//!
//! Pixels never touch the page's thread nor a 2D canvas (browsers may alter what is read back from one).
//!
//! - [`client`]: the page's side.
//! - [`message`]: what travels between the two.
//! - [`worker`]: the worker's side.
//! - [`bench`]: the picture in the worker and how it is cut.

pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod message;
pub(crate) mod worker;
