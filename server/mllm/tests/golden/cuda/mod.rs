//! The kernels of the GPU, compiled for the CPU, and the model on them.
//!
//! - `emulator`: a GPU that is none.
//! - `bench`: that GPU with its program, and how numbers are compared.
//! - `attention`: the kernels of attention against its definition.
//! - `kernels`: each other kernel against the arithmetic that it stands for.
//! - `model`: the whole language model and vision tower against the CPU's; on a real GPU too, where there is one.

mod attention;
mod bench;
mod emulator;
mod kernels;
mod model;
