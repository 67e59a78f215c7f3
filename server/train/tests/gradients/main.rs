//! The losses of fine-tuning and of GRPO and their gradients, against PyTorch and peft.
//!
//! - `golden`: what these computed.
//! - `cpu`: passes on the CPU.
//! - `gpu`: passes with the kernels of a GPU.
//! - `emulator`: a GPU that is none.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod cpu;
#[path = "../../../mllm/tests/golden/cuda/emulator.rs"]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod emulator;
mod golden;
mod gpu;
