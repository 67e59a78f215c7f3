//! What happens after the user's acts. Each function runs to its end and reports through the store.
//!
//! - [`desk`]: what every act needs: the store, the worker, the address.
//! - [`open`]: putting a picture on the stage.
//! - [`ask`]: uploading, asking, following a run, stopping it.
//! - [`restore`]: a run of this server, or a shared one, from its address.
//! - [`share`]: links, and which of them this browser may delete.

pub(crate) mod ask;
pub(crate) mod desk;
pub(crate) mod open;
pub(crate) mod restore;
pub(crate) mod share;
