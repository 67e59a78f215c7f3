//! Output projection and cross-entropy in one, without ever holding all logits.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::exp::exp_in_place;
use super::gemm::{Into, Mat, Threads, gemm};
use super::view::with_values;

/// Rows whose logits are held at once.
const CHUNK: usize = 256;

/// A loss that knows its rows.
#[derive(Debug)]
pub struct CrossEntropy {
    /// The weighted mean over the rows, a scalar with gradients into both inputs.
    pub loss: Tensor,
    /// Each row's own loss in nats.
    pub rows: Vec<f32>,
    /// Whether each row's target is the likeliest class.
    pub right: Vec<bool>,
}

/// The cross-entropy of `softmax(x wᵀ)`: x `[n, hidden]`, w `[classes, hidden]`, f32 on the CPU, with a target class
/// and a weight per row. The mean is by weight, 0 when all weights are 0.
///
/// The gradients are worked out with the loss, chunk by chunk (as Liger Kernel's fused linear cross-entropy does).
///
/// # Errors
/// When the shapes do not fit or a target is no class.
pub fn linear_cross_entropy(
    x: &Tensor,
    w: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<CrossEntropy> {
    if weights.len() != targets.len() {
        bail!("{} weights for {} targets", weights.len(), targets.len());
    }
    let total: f32 = weights.iter().sum();
    let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
    linear_likelihood(x, w, targets, |row, surprise| {
        let weight = weights[row] * scale;
        Term { value: weight * surprise, slope: weight }
    })
}

/// What a row adds to a loss over likelihoods.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Term {
    /// The row's part of the loss.
    pub value: f32,
    /// Its derivative by the row's surprise.
    pub slope: f32,
}

/// Any loss that is a sum over rows of a function of the row's surprise, -ln of the probability that `softmax(x wᵀ)`
/// gives the row's target: x `[n, hidden]`, w `[classes, hidden]`, f32 on the CPU. `term` is given the row and its
/// surprise in nats. A w that no gradient is wanted of costs none.
///
/// # Errors
/// When the shapes do not fit or a target is no class.
pub fn linear_likelihood(
    x: &Tensor,
    w: &Tensor,
    targets: &[u32],
    term: impl Fn(usize, f32) -> Term + Sync,
) -> Result<CrossEntropy> {
    let (n, hidden) = x.dims2()?;
    let (classes, width) = w.dims2()?;
    if hidden != width || targets.len() != n {
        bail!("{} targets for x {:?} and w {:?}", targets.len(), x.dims(), w.dims());
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= classes) {
        bail!("target {target} is not one of {classes} classes");
    }
    let wanted = [x.track_op(), w.track_op()];
    let mut work = Work {
        hidden,
        classes,
        values: vec![0.0; n],
        rows: vec![0.0; n],
        right: vec![false; n],
        dx: vec![0.0; if wanted[0] { n * hidden } else { 0 }],
        dw: vec![0.0; if wanted[1] { classes * hidden } else { 0 }],
    };
    with_values(x, |x| with_values(w, |w| work.run(x, w, targets, &term)))?;
    let loss: f64 = work.values.iter().map(|value| f64::from(*value)).sum();
    let [dx, dw] = [(work.dx, n, wanted[0]), (work.dw, classes, wanted[1])].map(|(values, rows, wanted)| {
        wanted.then(|| Tensor::from_vec(values, (rows, hidden), x.device())).transpose()
    });
    let op = Computed { loss: loss as f32, dx: dx?, dw: dw? };
    Ok(CrossEntropy { loss: x.apply_op2(w, op)?, rows: work.rows, right: work.right })
}

struct Work {
    hidden: usize,
    classes: usize,
    values: Vec<f32>,
    rows: Vec<f32>,
    right: Vec<bool>,
    /// Empty where not wanted, as the next.
    dx: Vec<f32>,
    dw: Vec<f32>,
}

impl Work {
    fn run(
        &mut self,
        x: &[f32],
        w: &[f32],
        targets: &[u32],
        term: &(impl Fn(usize, f32) -> Term + Sync),
    ) -> Result<()> {
        let mut logits = vec![0.0; CHUNK.min(targets.len()) * self.classes];
        for start in (0..targets.len()).step_by(CHUNK) {
            let rows = start..(start + CHUNK).min(targets.len());
            let count = rows.len();
            let x = Mat::new(&x[rows.start * self.hidden..rows.end * self.hidden], count, self.hidden);
            let w = Mat::new(w, self.classes, self.hidden);
            let logits = &mut logits[..count * self.classes];
            gemm(logits, self.classes, Into::Set, 1.0, x, w.t(), Threads::All)?;
            logits
                .par_chunks_mut(self.classes)
                .zip(&targets[rows.clone()])
                .zip(&mut self.values[rows.clone()])
                .zip(&mut self.rows[rows.clone()])
                .zip(&mut self.right[rows.clone()])
                .enumerate()
                .for_each(|(at, ((((logits, target), value), surprise), right))| {
                    let term = |surprise| term(start + at, surprise);
                    (*value, *surprise, *right) = row(logits, *target as usize, term);
                });
            let d = Mat::new(logits, count, self.classes);
            if !self.dx.is_empty() {
                let dx = &mut self.dx[rows.start * self.hidden..rows.end * self.hidden];
                gemm(dx, self.hidden, Into::Set, 1.0, d, w, Threads::All)?;
            }
            if !self.dw.is_empty() {
                gemm(&mut self.dw, self.hidden, Into::Add, 1.0, d.t(), x, Threads::All)?;
            }
        }
        Ok(())
    }
}

/// Turns a row of logits into its gradient; gives the row's part of the loss, its surprise and whether the target is
/// the likeliest.
fn row(logits: &mut [f32], target: usize, term: impl Fn(f32) -> Term) -> (f32, f32, bool) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let at = logits[target];
    let total = exp_in_place(logits, max);
    let surprise = total.ln() + max - at;
    let Term { value, slope } = term(surprise);
    let scale = slope / total;
    for value in logits.iter_mut() {
        *value *= scale;
    }
    logits[target] -= slope;
    (value, surprise, at >= max)
}

/// A result whose gradients are known already.
struct Computed {
    loss: f32,
    dx: Option<Tensor>,
    dw: Option<Tensor>,
}

impl CustomOp2 for Computed {
    fn name(&self) -> &'static str {
        "linear_cross_entropy"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = f64::from(grad.to_scalar::<f32>()?);
        let scaled = |d: &Tensor| if grad == 1.0 { Ok(d.clone()) } else { d * grad };
        let [dx, dw] = [&self.dx, &self.dw].map(|d| d.as_ref().map(scaled).transpose());
        Ok((dx?, dw?))
    }
}
