//! SwiGLU and GELU.

use candle_core::{Result, Tensor};

/// `silu(gate) * up`, element by element; the shapes are equal.
///
/// # Errors
/// When the shapes differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// The exact GELU, `x Φ(x)` with the error function, as in the vision merger.
///
/// # Errors
/// When the element type is not a float.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}
