//! The model's arithmetic, every operation with its gradient.
//!
//! candle's own fused `rms_norm`, `rope` and `softmax_last_dim` return no gradient and say nothing about it, so nothing
//! here uses them.
//!
//! Layout
//! - `attention`: grouped-query attention under a causal or block-diagonal mask.
//! - `linear`: `x wᵀ + bias`.
//! - `keep_memory`: memory kept from step to step.
//! - `large_pages`: large values in large pages.
//! - `low_rank`: the affine map with LoRA beside it.
//! - `norm`: root-mean-square normalisation.
//! - `rope`: rotary embedding.
//! - `activation`: SwiGLU and GELU.
//! - `cross_entropy`: output projection and loss in one.
//! - `denormals`: switching them off.
//! - `exp`: a vectorised exponential.
//! - `gemm`: matrix products over slices.
//! - `rows`: operations over rows of plain numbers, for decoding.
//! - `mask`: which keys a query sees.
//! - `view`: the values of tensors.

mod activation;
mod attention;
mod cross_entropy;
mod denormals;
mod exp;
pub(crate) mod gemm;
mod keep_memory;
pub(crate) mod large_pages;
mod linear;
mod low_rank;
mod mask;
mod norm;
mod rope;
pub(crate) mod rows;
mod view;

pub use activation::{gelu_erf, swiglu};
pub use attention::attention;
pub(crate) use attention::softmax;
pub use cross_entropy::{CrossEntropy, Term, linear_cross_entropy, linear_likelihood};
pub use denormals::flush_denormals_here;
pub use linear::linear;
pub use low_rank::linear_low_rank;
pub use mask::AttentionMask;
pub use norm::rms_norm;
pub use rope::rope;

/// Sets this process up for decoding: most of a step's memory is kept for the next one.
pub(crate) fn prepare_to_decode() {
    keep_memory::keep_memory(256 << 20);
}

/// Sets this process up for training: memory that is freed is kept, and numbers that fade away become zero.
pub fn prepare_to_train() {
    // Hundreds of megabytes are given back in every step.
    keep_memory::keep_memory(i32::MAX);
    keep_memory::share_heap();
    denormals::flush_denormals();
}
