//! The kernels of the GPU and the model on them, compiled for the CPU; on a real GPU too, where there is one.
//!
//! - `emulator`: a GPU that is none.
//! - `bench`: on what the tests run, a GPU with its program, and how numbers are compared.
//! - `attention`: the kernels of attention against its definition.
//! - `choose`: the choice of tokens against the CPU's.
//! - `kernels`: each other kernel against the arithmetic that it stands for.
//! - `tune`: tuning, its kernels and a whole pass.
//! - `model`: the whole language model and vision tower against the CPU's.

mod attention;
mod bench;
mod choose;
mod emulator;
mod kernels;
mod model;
mod tune;
