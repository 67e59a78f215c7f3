//! The crate against golden checkpoints (`tests/golden/qwen2_5_vl`), in one program so that it is linked once.
//!
//! - `adapters`: LoRA adapters against peft.
//! - `common`: opening the checkpoints and their conversations.
//! - `parity`: every value of the pipeline against transformers.
//! - `gradients`: training's gradients against PyTorch.
//! - `ops`: each operation and its gradient against PyTorch.
//! - `broken`: broken checkpoints are refused.
//! - `decoding`: the language model as it decodes against transformers.
//! - `engine`: turns as callers see them.
//! - `soak`: a thousand mixed turns.
//! - `gguf`: weights as llama.cpp stores them.
//! - `cuda`: the kernels of the GPU, compiled for the CPU, and the model on them.

// Helpers outside test functions count as tests too.
#![cfg(test)]

mod adapters;
mod broken;
mod common;
mod cuda;
mod decoding;
mod engine;
mod gguf;
mod gradients;
mod ops;
mod parity;
mod soak;
