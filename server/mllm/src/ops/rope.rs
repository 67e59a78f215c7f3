//! Rotary embedding.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::view::{all, dense_rows, fused, values};

/// Rotates the halves of each head's vector: x `[b, heads, t, d]`, cos and sin `[b, t, d/2]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (b, _, t, d) = x.dims4()?;
    if cos.dims() != [b, t, d / 2] || sin.dims() != cos.dims() || d % 2 != 0 || x.elem_count() == 0 {
        bail!("cosines of {:?} and sines of {:?} do not turn {:?}", cos.dims(), sin.dims(), x.dims());
    }
    if fused(&[x, cos, sin]) {
        return dense_rows(x)?.apply_op3(&cos.contiguous()?, &sin.contiguous()?, Rope { back: false });
    }
    composed(x, cos, sin)
}

/// The definition, for other devices and number formats.
fn composed(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
    let first = x.narrow(D::Minus1, 0, half)?;
    let second = x.narrow(D::Minus1, half, half)?;
    let turned_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let turned_second = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
    Tensor::cat(&[turned_first, turned_second], D::Minus1)
}

struct Rope {
    /// Turns the other way, which is the gradient.
    back: bool,
}

impl CustomOp3 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        cos: &CpuStorage,
        cl: &Layout,
        sin: &CpuStorage,
        sl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, cos, sin) = (all(x)?, values(cos, cl)?, values(sin, sl)?);
        let (_, heads, t, d) = xl.shape().dims4()?;
        let stride = xl.stride();
        let half = d / 2;
        let direction = if self.back { -1.0 } else { 1.0 };
        let mut y = vec![0.0; xl.shape().elem_count()];
        y.par_chunks_mut(t * d).enumerate().for_each(|(plane, y)| {
            let (batch, head) = (plane / heads, plane % heads);
            let start = xl.start_offset() + batch * stride[0] + head * stride[1];
            for (row, y) in y.chunks_mut(d).enumerate() {
                let at = start + row * stride[2];
                let angle = (batch * t + row) * half;
                let (cos, sin) = (&cos[angle..angle + half], &sin[angle..angle + half]);
                let (y0, y1) = y.split_at_mut(half);
                let (x0, x1) = x[at..at + d].split_at(half);
                for ((((y0, y1), x0), x1), (cos, sin)) in
                    y0.iter_mut().zip(y1).zip(x0).zip(x1).zip(cos.iter().zip(sin))
                {
                    let sin = sin * direction;
                    *y0 = x0 * cos - x1 * sin;
                    *y1 = x1 * cos + x0 * sin;
                }
            }
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dx = dense_rows(grad)?.apply_op3_no_bwd(cos, sin, &Self { back: !self.back })?;
        Ok((Some(dx), None, None))
    }
}
