//! Qwen2.5-VL on candle.
//!
//! Layout
//! - [`engine`]: what the rest of the program sees: messages in, text out.
//! - [`loaded`]: a checkpoint opened whole: model, tokenizer, template, image processor.
//! - [`checkpoint`]: its files: configuration, weights, what it says of itself.
//! - [`adapter`]: LoRA adapters, merged into the weights or kept beside them.
//! - [`config`]: the model's shape, from `config.json`.
//! - [`weights`]: where a model's weights come from.
//! - [`model`]: vision tower, merger and decoder; the same definition decodes and trains.
//! - [`lm`]: the decoder as it decodes: many sequences in one step.
//! - [`cuda`]: the same on an NVIDIA GPU, and tuning there.
//! - [`device`]: where a model decodes, and the model there.
//! - [`tuning`]: pairs trained beside a model on a GPU.
//! - [`ops`]: the arithmetic, every operation with its gradient.
//! - [`chat`]: conversations as token ids, with the span of each message.
//! - [`decode`]: turns of conversations; the [`Engine`] that serves them.
//! - [`grammar`]: grammars that a turn is held to.
//! - [`tokenizer`]: text to ids and back.
//! - [`picture`]: pictures as the vision tower reads them.
//! - [`threads`]: the threads that compute: how many, and on which cores.
//! - `memory`: whether a model fits.
//! - [`bench`]: what the engine does per second, beside what the machine allows.
//! - [`probe`]: every intermediate value of a turn, to be held against another implementation.
//! - [`error`]: why a checkpoint, a conversation or a picture is refused.

pub mod adapter;
pub mod bench;
pub mod chat;
pub mod checkpoint;
pub mod config;
pub mod cuda;
pub mod decode;
pub mod device;
pub mod engine;
pub mod error;
pub mod grammar;
pub mod lm;
pub mod loaded;
mod memory;
pub mod model;
pub mod ops;
pub mod picture;
pub mod probe;
pub mod threads;
pub mod tokenizer;
pub mod tuning;
pub mod weights;

pub use adapter::{AdapterSpec, Adapters};
pub use candle_core::Device;
pub use decode::{Engine, Limits};
pub use device::Processor;
pub use error::{Error, Result};
pub use loaded::{Loaded, Served};
pub use weights::{Formats, WeightFormat};
