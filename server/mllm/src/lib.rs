//! Qwen2.5-VL on candle.
//!
//! Layout
//! - [`engine`]: what the rest of the program sees: messages in, text out.
//! - [`config`]: the model's shape, from `config.json`.
//! - [`model`]: vision tower, merger and decoder; the same definition decodes and trains.
//! - [`ops`]: the arithmetic, every operation with its gradient.
//! - [`weights`]: where a model's weights come from.
//! - [`error`]: why a checkpoint, a conversation or a picture is refused.

pub mod config;
pub mod engine;
pub mod error;
pub mod model;
pub mod ops;
pub mod weights;

pub use error::{Error, Result};
