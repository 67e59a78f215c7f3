//! Decoding turns of conversations.
//!
//! - [`engine`]: one model for many callers, one turn at a time, first come first served.
//! - [`greedy`]: the likeliest continuation of given ids, with the cache and without, for tests and the probe.
//! - `turn`: one turn from messages to text.
//! - `prompt`: a conversation's embeddings, as far as they are not in the cache.
//! - `memory`: the caches of recent conversations and pictures.
//! - `sampler`: how the next token is chosen.
//! - `stream`: tokens to text as they come, and stop texts.

pub mod engine;
pub mod greedy;
mod memory;
mod prompt;
mod sampler;
mod stream;
mod turn;

pub use engine::Engine;
