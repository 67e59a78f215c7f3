//! Root-mean-square normalisation.

use candle_core::{D, Result, Tensor};

/// `x / sqrt(mean(x²) + eps) * w` over the last dimension: x `[.., n]`, w `[n]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn rms_norm(x: &Tensor, w: &Tensor, eps: f32) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(eps))?
        .sqrt()?
        .recip()?;
    x.broadcast_mul(&scale)?.broadcast_mul(w)
}
