//! What the browser and the server agree on: protocol types and pixel arithmetic. No I/O; builds natively and for wasm.
//!
//! Layout
//! - [`protocol`]: requests, answers, the event envelope and the fold of events into a run's state.
//! - [`pixels`]: the one integer definition of crop, resize and patch order.
//! - [`ids`]: identifiers parsed at the edge.

pub mod ids;
pub mod pixels;
pub mod protocol;
