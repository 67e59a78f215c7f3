//! Qwen2.5-VL on candle.
//!
//! Layout
//! - [`engine`]: what the rest of the program sees: messages in, text out.
//! - [`ops`]: the arithmetic, every operation with its gradient.

pub mod engine;
pub mod ops;
