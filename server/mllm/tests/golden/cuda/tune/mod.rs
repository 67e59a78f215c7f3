//! Tuning on the kernels against the definition on the CPU.
//!
//! - `kernels`: each kernel by itself.
//! - `pass`: a whole pass with its gradients.

mod kernels;
mod pass;

use candle_core::Var;

use super::bench::tensor;

fn var<const N: usize>(values: &[f32], shape: [usize; N]) -> Var {
    Var::from_tensor(&tensor(values, shape)).expect("a variable")
}
