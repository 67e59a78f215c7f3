//! Decoding turns of conversations, many at a time.
//!
//! - [`engine`]: one model for many callers.
//! - [`greedy`]: the likeliest continuation of given ids, with the cache and without, for tests and the probe.
//! - `worker`: the thread that decodes: who may start, what is guessed, what runs in a step and what comes of it.
//! - `eyes`: the thread that looks at pictures.
//! - [`stats`]: what the engine tells of itself.
//! - `plan`: how a step's tokens are shared out.
//! - `pace`: how many tokens of prompts a step takes.
//! - `sequence`: one turn while it is decoded.
//! - `draft`: guesses of what may come next, and what they are worth.
//! - `blocks`: which blocks of keys and values are whose, and what they hold.
//! - `pictures`: the embeddings of recent pictures.
//! - `sampler`: what decides draws.
//! - `stream`: tokens to text as they come.

mod blocks;
mod draft;
pub mod engine;
mod eyes;
pub mod greedy;
mod pace;
mod pictures;
mod plan;
mod sampler;
mod sequence;
pub mod stats;
mod stream;
mod worker;

pub use draft::DEEPEST;
pub use engine::{Engine, Limits};
pub(crate) use pace::MOST;
