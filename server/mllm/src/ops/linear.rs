//! The affine map.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gemm::{Into, Mat, Threads, gemm};
use super::view::{fused, values, with_values};

/// Rows whose gradients one thread sums for the bias; fixed, so that the sum does not depend on the threads.
const ROWS: usize = 256;

/// `x wᵀ + bias`: x `[.., in]`, w `[out, in]`, bias `[out]`; the result is `[.., out]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, input) = w.dims2()?;
    if input == 0
        || out == 0
        || x.dims().last() != Some(&input)
        || bias.is_some_and(|bias| bias.dims() != [out])
    {
        bail!("a map from {input} to {out} was given {:?}", x.dims());
    }
    let x = x.contiguous()?;
    if fused(&[&x, w]) {
        let w = w.contiguous()?;
        return match bias {
            Some(bias) => x.apply_op3(&w, &bias.contiguous()?, Linear { input, out }),
            None => x.apply_op2(&w, Linear { input, out }),
        };
    }
    composed(&x, w, bias)
}

/// The definition, for other devices and number formats.
fn composed(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, input) = w.dims2()?;
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = out;
    }
    let y = x.reshape(((), input))?.matmul(&w.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.reshape(dims)
}

struct Linear {
    input: usize,
    out: usize,
}

impl Linear {
    fn forward(
        &self,
        x: &[f32],
        w: &[f32],
        bias: Option<&[f32]>,
        shape: &Shape,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = x.len() / self.input;
        let mut y = match bias {
            Some(bias) => bias.repeat(rows),
            None => vec![0.0; rows * self.out],
        };
        let into = if bias.is_some() { Into::Add } else { Into::Set };
        let (x, w) = (Mat::new(x, rows, self.input), Mat::new(w, self.out, self.input));
        gemm(&mut y, self.out, into, 1.0, x, w.t(), Threads::All)?;
        let mut dims = shape.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.out;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    /// Gradients of x and w; only those that lead to a variable.
    fn backward(&self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = x.elem_count() / self.input;
        let dx = x.track_op().then(|| {
            let mut dx = vec![0.0; rows * self.input];
            with_values(grad, |grad| {
                with_values(w, |w| {
                    let (grad, w) = (Mat::new(grad, rows, self.out), Mat::new(w, self.out, self.input));
                    gemm(&mut dx, self.input, Into::Set, 1.0, grad, w, Threads::All)
                })
            })?;
            Tensor::from_vec(dx, x.shape(), x.device())
        });
        let dw = w.track_op().then(|| {
            let mut dw = vec![0.0; self.out * self.input];
            with_values(grad, |grad| {
                with_values(x, |x| {
                    let (grad, x) = (Mat::new(grad, rows, self.out), Mat::new(x, rows, self.input));
                    gemm(&mut dw, self.input, Into::Set, 1.0, grad.t(), x, Threads::All)
                })
            })?;
            Tensor::from_vec(dw, w.shape(), w.device())
        });
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(values(x, xl)?, values(w, wl)?, None, xl.shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, grad)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear_bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(values(x, xl)?, values(w, wl)?, Some(values(bias, bl)?), xl.shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.backward(x, w, grad)?;
        let db = bias.track_op().then(|| {
            let sums = with_values(grad, |grad| Ok(column_sums(grad, self.out)))?;
            Tensor::from_vec(sums, self.out, bias.device())
        });
        Ok((dx, dw, db.transpose()?))
    }
}

/// Sums of the columns of a row-major matrix.
fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = values
        .par_chunks(ROWS * columns)
        .map(|rows| {
            let mut sums = vec![0.0; columns];
            for row in rows.chunks(columns) {
                add(&mut sums, row);
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; columns];
    for part in &parts {
        add(&mut sums, part);
    }
    sums
}

fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}
