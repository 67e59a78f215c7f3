//! Qwen2.5-VL on candle.
//!
//! Layout
//! - [`engine`]: what the rest of the program sees: messages in, text out.

pub mod engine;
