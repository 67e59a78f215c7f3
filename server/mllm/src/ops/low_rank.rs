//! The affine map with a change of low rank beside its frozen weight (LoRA), in one.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::gemm::{Into, Mat, Threads, gemm};
use super::linear::linear;
use super::view::{fused, values, with_values};

/// `x wᵀ + bias + scale (x aᵀ) bᵀ`: x `[.., in]`, w `[out, in]`, bias `[out]`, a `[rank, in]`, b `[out, rank]`; the
/// result is `[.., out]`. No gradient reaches w and bias.
///
/// # Errors
/// When the shapes do not fit.
pub fn linear_low_rank(
    x: &Tensor,
    (w, bias): (&Tensor, Option<&Tensor>),
    (a, b): (&Tensor, &Tensor),
    scale: f64,
) -> Result<Tensor> {
    let ((out, input), (rank, width)) = (w.dims2()?, a.dims2()?);
    if width != input || b.dims() != [out, rank] || x.dims().last() != Some(&input) || rank == 0 || out == 0 {
        bail!("{:?} and {:?} do not fit a map from {input} to {out} of {:?}", a.dims(), b.dims(), x.dims());
    }
    if !fused(&[x, w, a, b]) {
        let change = (linear(&linear(x, a, None)?, b, None)? * scale)?;
        return linear(x, &w.detach(), bias.map(Tensor::detach).as_ref())? + change;
    }
    let frozen =
        LowRank { w: w.detach(), bias: bias.map(Tensor::detach), rank, out, input, scale: scale as f32 };
    x.contiguous()?.apply_op3(&a.contiguous()?, &b.contiguous()?, frozen)
}

struct LowRank {
    w: Tensor,
    bias: Option<Tensor>,
    rank: usize,
    out: usize,
    input: usize,
    scale: f32,
}

impl LowRank {
    /// `x aᵀ`, `[rows, rank]`.
    fn narrow(&self, x: Mat, a: &[f32], rows: usize) -> Result<Vec<f32>> {
        let mut narrow = vec![0.0; rows * self.rank];
        let a = Mat::new(a, self.rank, self.input);
        gemm(&mut narrow, self.rank, Into::Set, 1.0, x, a.t(), Threads::All)?;
        Ok(narrow)
    }
}

impl CustomOp3 for LowRank {
    fn name(&self) -> &'static str {
        "linear_low_rank"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, a, b) = (values(x, xl)?, values(a, al)?, values(b, bl)?);
        let rows = x.len() / self.input;
        let x = Mat::new(x, rows, self.input);
        let (mut y, into) = match &self.bias {
            Some(bias) => (with_values(bias, |bias| Ok(bias.repeat(rows)))?, Into::Add),
            None => (vec![0.0; rows * self.out], Into::Set),
        };
        with_values(&self.w, |w| {
            gemm(&mut y, self.out, into, 1.0, x, Mat::new(w, self.out, self.input).t(), Threads::All)
        })?;
        let narrow = self.narrow(x, a, rows)?;
        let (narrow, b) = (Mat::new(&narrow, rows, self.rank), Mat::new(b, self.out, self.rank));
        gemm(&mut y, self.out, Into::Add, self.scale, narrow, b.t(), Threads::All)?;
        let mut dims = xl.shape().dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.out;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Self { rank, out, input, scale, .. } = *self;
        let rows = x.elem_count() / input;
        let (mut da, mut db) = (vec![0.0; rank * input], vec![0.0; out * rank]);
        let mut dx = vec![0.0; if x.track_op() { rows * input } else { 0 }];
        let wanted = !dx.is_empty();
        with_values(grad, |g| {
            with_values(x, |x| {
                with_values(a, |a| {
                    with_values(b, |b| {
                        with_values(&self.w, |w| {
                            let (g, x) = (Mat::new(g, rows, out), Mat::new(x, rows, input));
                            let narrow = self.narrow(x, a, rows)?;
                            gemm(
                                &mut db,
                                rank,
                                Into::Set,
                                scale,
                                g.t(),
                                Mat::new(&narrow, rows, rank),
                                Threads::All,
                            )?;
                            // The gradient of `x aᵀ`.
                            let mut by_narrow = vec![0.0; rows * rank];
                            gemm(
                                &mut by_narrow,
                                rank,
                                Into::Set,
                                scale,
                                g,
                                Mat::new(b, out, rank),
                                Threads::All,
                            )?;
                            let by_narrow = Mat::new(&by_narrow, rows, rank);
                            gemm(&mut da, input, Into::Set, 1.0, by_narrow.t(), x, Threads::All)?;
                            if wanted {
                                gemm(
                                    &mut dx,
                                    input,
                                    Into::Set,
                                    1.0,
                                    g,
                                    Mat::new(w, out, input),
                                    Threads::All,
                                )?;
                                gemm(
                                    &mut dx,
                                    input,
                                    Into::Add,
                                    1.0,
                                    by_narrow,
                                    Mat::new(a, rank, input),
                                    Threads::All,
                                )?;
                            }
                            Ok(())
                        })
                    })
                })
            })
        })?;
        let dx = wanted.then(|| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        let da = Tensor::from_vec(da, a.shape(), a.device())?;
        Ok((dx, Some(da), Some(Tensor::from_vec(db, b.shape(), b.device())?)))
    }
}
