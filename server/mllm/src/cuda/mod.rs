//! Decoding and tuning on an NVIDIA GPU, with kernels of our own.
//!
//! Weights, keys and values are bf16, sums and the residual stream f32. Everything but the driver is written against
//! [`gpu::Gpu`], so that tests run it whole on the CPU (`tests/cuda`).
//!
//! - [`gpu`]: what is asked of a GPU.
//! - [`kernels`]: the kernels' source and how each is launched.
//! - [`choosing`]: how tokens are chosen.
//! - `beside`: LoRA adapters beside the weights.
//! - [`inputs`]: a batch as the kernels read it.
//! - [`language`]: the language model.
//! - `loader`: how weights are brought there.
//! - `layout`: where a step keeps its intermediate values.
//! - [`tune`]: pairs beside the decoder, with their gradients.
//! - [`vision`]: the vision tower and the merger.
//! - `driver`: the GPU itself, with the feature `cuda`.

mod beside;
pub mod choosing;
#[cfg(feature = "cuda")]
pub mod driver;
pub mod gpu;
pub mod inputs;
pub mod kernels;
pub mod language;
mod layout;
mod loader;
pub mod tune;
pub mod vision;
