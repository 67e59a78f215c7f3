//! Loupe's browser client.
//!
//! Layout
//! - [`model`]: what the client knows and how it changes; no browser in it, so it is tested natively.
//! - `net`: calls to the server and the stream of a run's events.
//! - `studio`: a worker that holds the original picture and cuts what is uploaded out of it, on the GPU or the CPU.
//! - `flow`: what happens after the user's acts: opening, asking, following, sharing.
//! - `ui`: Yew components, one per part of the page.
//!
//! One wasm module serves the page ([`start_app`]) and its worker ([`start_worker`]).

pub mod model;

#[cfg(target_arch = "wasm32")]
mod flow;
#[cfg(target_arch = "wasm32")]
mod net;
#[cfg(target_arch = "wasm32")]
mod studio;
#[cfg(target_arch = "wasm32")]
mod ui;

#[cfg(target_arch = "wasm32")]
pub use studio::worker::start_worker;
#[cfg(target_arch = "wasm32")]
pub use ui::start_app;
