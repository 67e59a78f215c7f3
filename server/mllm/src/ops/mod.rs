//! The model's arithmetic, every operation with its gradient.
//!
//! candle's own fused `rms_norm`, `rope` and `softmax_last_dim` return no gradient and say nothing about it, so nothing
//! here uses them.
//!
//! Layout
//! - `attention`: grouped-query attention under a causal or block-diagonal mask.
//! - `linear`: `x wᵀ + bias`.
//! - `norm`: root-mean-square normalisation.
//! - `rope`: rotary embedding.
//! - `activation`: SwiGLU and GELU.

mod activation;
mod attention;
mod linear;
mod norm;
mod rope;

pub use activation::{gelu_erf, swiglu};
pub use attention::{AttentionMask, attention};
pub use linear::linear;
pub use norm::rms_norm;
pub use rope::rope;
