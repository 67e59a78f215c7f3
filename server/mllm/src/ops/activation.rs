//! SwiGLU and GELU.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::exp::exp;
use super::view::{fused, values, with_values};

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `silu(gate) * up`, element by element; the shapes are equal.
///
/// # Errors
/// When the shapes differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if fused(&[gate, up]) && gate.dims() == up.dims() {
        return gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu);
    }
    gate.silu()? * up
}

/// The exact GELU, `x Φ(x)` with the error function, as in the vision merger.
///
/// # Errors
/// When the element type is not a float.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

struct SwiGlu;

/// Writes `silu(gate) * up` into `y`.
pub(super) fn swiglu_row(y: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
        *y = gate * sigmoid(*gate) * up;
    }
}

/// `1 / (1 + e^-x)`
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gl: &Layout,
        up: &CpuStorage,
        ul: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (values(gate, gl)?, values(up, ul)?);
        let mut y = vec![0.0; gate.len()];
        y.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK)).for_each(
            |((y, gate), up)| {
                swiglu_row(y, gate, up);
            },
        );
        Ok((CpuStorage::F32(y), gl.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut dgate = vec![0.0; gate.elem_count()];
        let mut dup = vec![0.0; gate.elem_count()];
        with_values(gate, |gate| {
            with_values(up, |up| {
                with_values(grad, |grad| {
                    dgate
                        .par_chunks_mut(CHUNK)
                        .zip(dup.par_chunks_mut(CHUNK))
                        .zip(gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)).zip(grad.par_chunks(CHUNK)))
                        .for_each(|((dgate, dup), ((gate, up), grad))| {
                            let gradients = dgate.iter_mut().zip(dup);
                            for (((dgate, dup), (gate, up)), grad) in
                                gradients.zip(gate.iter().zip(up)).zip(grad)
                            {
                                let sigmoid = sigmoid(*gate);
                                let silu = gate * sigmoid;
                                *dup = grad * silu;
                                *dgate = grad * up * (sigmoid + silu * (1.0 - sigmoid));
                            }
                        });
                    Ok(())
                })
            })
        })?;
        let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
        Ok((Some(tensor(dgate)?), Some(tensor(dup)?)))
    }
}
