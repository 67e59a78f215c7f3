//! Root-mean-square normalisation.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::view::{fused, values, with_values};

/// Rows that one thread takes at a time; fixed, so that sums over rows do not depend on the number of threads.
const ROWS: usize = 64;

/// `x / sqrt(mean(x²) + eps) * w` over the last dimension: x `[.., n]`, w `[n]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn rms_norm(x: &Tensor, w: &Tensor, eps: f32) -> Result<Tensor> {
    if x.dim(D::Minus1)? != w.dims1()? || w.dims1()? == 0 {
        bail!("a norm of width {} was given rows of {:?}", w.dims1()?, x.dims());
    }
    if fused(&[x, w]) {
        return x.contiguous()?.apply_op2(w, RmsNorm { eps });
    }
    composed(x, w, eps)
}

/// The definition, for other devices and number formats.
fn composed(x: &Tensor, w: &Tensor, eps: f32) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(eps))?.sqrt()?.recip()?;
    x.broadcast_mul(&scale)?.broadcast_mul(w)
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    /// Writes the gradient of one row into `dx` and adds that of the weight to `dw`.
    fn row_backward(&self, x: &[f32], w: &[f32], grad: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let scale = scale(x, self.eps);
        let mut product = 0.0;
        for (((d, w), x), g) in dx.iter_mut().zip(w).zip(x).zip(grad) {
            *d = g * w;
            product += *d * x;
        }
        let pull = product * scale * scale * scale / x.len() as f32;
        for (((d, dw), x), g) in dx.iter_mut().zip(dw).zip(x).zip(grad) {
            *d = *d * scale - x * pull;
            *dw += g * x * scale;
        }
    }
}

/// One over the root mean square of a row.
fn scale(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

/// Writes the norm of a row `x` into `y`.
pub(super) fn norm_row(y: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
    let scale = scale(x, eps);
    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
        *y = x * scale * w;
    }
}

/// Sum of products, in lanes that the compiler can keep in vector registers.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (values(x, xl)?, values(w, wl)?);
        let mut y = vec![0.0; x.len()];
        let block = ROWS * w.len();
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            for (y, x) in y.chunks_mut(w.len()).zip(x.chunks(w.len())) {
                norm_row(y, x, w, self.eps);
            }
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = w.dims1()?;
        let mut dx = vec![0.0; x.elem_count()];
        let block = ROWS * width;
        let parts: Vec<Vec<f32>> = with_values(x, |x| {
            with_values(w, |w| {
                with_values(grad, |grad| {
                    let rows = dx.par_chunks_mut(block).zip(x.par_chunks(block)).zip(grad.par_chunks(block));
                    Ok(rows
                        .map(|((dx, x), grad)| {
                            let mut dw = vec![0.0; width];
                            for ((dx, x), grad) in
                                dx.chunks_mut(width).zip(x.chunks(width)).zip(grad.chunks(width))
                            {
                                self.row_backward(x, w, grad, dx, &mut dw);
                            }
                            dw
                        })
                        .collect())
                })
            })
        })?;
        let mut dw = vec![0.0; width];
        for part in parts {
            for (dw, part) in dw.iter_mut().zip(part) {
                *dw += part;
            }
        }
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        Ok((Some(dx), Some(Tensor::from_vec(dw, width, x.device())?)))
    }
}
