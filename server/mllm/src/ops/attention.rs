//! Grouped-query attention.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::exp::exp_in_place;
use super::gemm::{Into, Mat, Threads, gemm};
use super::mask::AttentionMask;
use super::norm::dot;
use super::view::{all, cpu, dense_rows, fused};

/// Queries whose scores are held at once; keys beyond the last of them are never touched.
const BLOCK: usize = 64;

/// Softmax attention with scale `1/sqrt(d)`: q `[b, h, tq, d]`, k and v `[b, kvh, tk, d]` where `h` is a multiple of
/// `kvh` (query head `i` uses key head `i / (h / kvh)`); the result is `[b, h, tq, d]`.
///
/// # Errors
/// When the shapes or the mask do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask) -> Result<Tensor> {
    let (batch, heads, queries, width) = q.dims4()?;
    let (_, kv_heads, keys, _) = k.dims4()?;
    if k.dims() != [batch, kv_heads, keys, width]
        || v.dims() != k.dims()
        || kv_heads == 0
        || heads % kv_heads != 0
    {
        bail!("queries {:?}, keys {:?} and values {:?} do not fit", q.dims(), k.dims(), v.dims());
    }
    mask.check(queries, keys)?;
    if q.elem_count() == 0 {
        bail!("attention was given no queries: {:?}", q.dims());
    }
    let size = Size { heads, kv_heads, queries, keys, width };
    if fused(&[q, k, v]) {
        let (q, k, v) = (dense_rows(q)?, dense_rows(k)?, dense_rows(v)?);
        return q.apply_op3(&k, &v, Attention { size, mask: mask.clone() });
    }
    composed(q, k, v, mask, size)
}

#[derive(Debug, Clone, Copy)]
struct Size {
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
}

impl Size {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// The definition, for other devices and number formats.
fn composed(q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask, size: Size) -> Result<Tensor> {
    let Size { heads, kv_heads, queries, keys, width } = size;
    let (batch, group) = (q.dim(0)?, size.group());
    let q = q.contiguous()?.reshape((batch, kv_heads, group * queries, width))?;
    let scores = (q.matmul(&k.t()?.contiguous()?)? * f64::from(size.scale()))?;
    let mut bias = vec![f32::NEG_INFINITY; queries * keys];
    for row in 0..queries {
        let (from, to) = mask.span(row);
        bias[row * keys + from..row * keys + to].fill(0.0);
    }
    let bias = Tensor::from_vec(bias, (1, 1, 1, queries, keys), q.device())?.to_dtype(q.dtype())?;
    let scores = scores.reshape((batch, kv_heads, group, queries, keys))?.broadcast_add(&bias)?;
    let exp = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    let weights = weights.reshape((batch, kv_heads, group * queries, keys))?;
    weights.matmul(&v.contiguous()?)?.reshape((batch, heads, queries, width))
}

struct Attention {
    size: Size,
    mask: AttentionMask,
}

/// The rows of one head, `[t, d]`, inside a tensor `[b, heads, t, d]` whose last dimension is dense.
#[derive(Clone, Copy)]
struct Heads<'a> {
    values: &'a [f32],
    start: usize,
    strides: [usize; 3],
    width: usize,
}

impl<'a> Heads<'a> {
    fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (_, _, _, width) = layout.shape().dims4()?;
        match layout.stride() {
            [batch, head, row, 1] => {
                let strides = [*batch, *head, *row];
                Ok(Self { values: all(storage)?, start: layout.start_offset(), strides, width })
            }
            stride => bail!("heads have the strides {stride:?}"),
        }
    }

    /// Rows `from..to` of a head.
    fn rows(&self, batch: usize, head: usize, from: usize, to: usize) -> Mat<'a> {
        let [batches, heads, rows] = self.strides;
        let start = self.start + batch * batches + head * heads + from * rows;
        Mat::strided(self.values.get(start..).unwrap_or_default(), to - from, self.width, rows)
    }
}

/// A block of queries and the keys that any of them sees.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    last: usize,
    from: usize,
    to: usize,
}

impl Attention {
    fn blocks(&self) -> impl Iterator<Item = Block> {
        (0..self.size.queries).step_by(BLOCK).map(|first| {
            let last = (first + BLOCK).min(self.size.queries);
            // Spans only move to the right.
            Block { first, last, from: self.mask.span(first).0, to: self.mask.span(last - 1).1 }
        })
    }

    /// The attention weights of a block: `[queries, keys]` of the block, 0 where masked.
    fn weights(&self, weights: &mut [f32], block: Block, q: Mat, k: Mat) -> Result<()> {
        let columns = block.to - block.from;
        gemm(weights, columns, Into::Set, self.size.scale(), q, k.t(), Threads::One)?;
        for (row, weights) in (block.first..block.last).zip(weights.chunks_mut(columns)) {
            let (from, to) = self.mask.span(row);
            let (before, rest) = weights.split_at_mut(from - block.from);
            let (seen, after) = rest.split_at_mut(to - from);
            before.fill(0.0);
            after.fill(0.0);
            softmax(seen);
        }
        Ok(())
    }

    fn forward_head(&self, y: &mut [f32], plane: usize, q: Heads, k: Heads, v: Heads) -> Result<()> {
        let Size { heads, width, keys, .. } = self.size;
        let (batch, head) = (plane / heads, plane % heads);
        let kv_head = head / self.size.group();
        let mut weights = vec![0.0; BLOCK.min(self.size.queries) * keys];
        for block in self.blocks() {
            let (rows, columns) = (block.last - block.first, block.to - block.from);
            let weights = &mut weights[..rows * columns];
            let q = q.rows(batch, head, block.first, block.last);
            self.weights(weights, block, q, k.rows(batch, kv_head, block.from, block.to))?;
            let v = v.rows(batch, kv_head, block.from, block.to);
            let y = &mut y[block.first * width..block.last * width];
            gemm(y, width, Into::Set, 1.0, Mat::new(weights, rows, columns), v, Threads::One)?;
        }
        Ok(())
    }

    /// Gradients of one key head and of the query heads that share it.
    fn backward_head(&self, plane: usize, given: &Given, out: &mut Gradients) -> Result<()> {
        let Size { kv_heads, queries, keys, width, .. } = self.size;
        let (batch, kv_head) = (plane / kv_heads, plane % kv_heads);
        let mut weights = vec![0.0; BLOCK.min(queries) * keys];
        let mut scores = weights.clone();
        for (nth, dq) in out.dq.chunks_mut(queries * width).enumerate() {
            let head = kv_head * self.size.group() + nth;
            for block in self.blocks() {
                let Block { first, last, from, to } = block;
                let (rows, columns) = (last - first, to - from);
                let (weights, scores) = (&mut weights[..rows * columns], &mut scores[..rows * columns]);
                let q = given.q.rows(batch, head, first, last);
                let k = given.k.rows(batch, kv_head, from, to);
                let v = given.v.rows(batch, kv_head, from, to);
                let grad = given.grad.rows(batch, head, first, last);
                self.weights(weights, block, q, k)?;
                gemm(scores, columns, Into::Set, 1.0, grad, v.t(), Threads::One)?;
                for (weights, scores) in weights.chunks(columns).zip(scores.chunks_mut(columns)) {
                    softmax_backward(weights, scores);
                }
                let weights = Mat::new(weights, rows, columns);
                let scores = Mat::new(scores, rows, columns);
                let (dk, dv) = (&mut out.dk[from * width..to * width], &mut out.dv[from * width..to * width]);
                let scale = self.size.scale();
                gemm(&mut dq[first * width..last * width], width, Into::Set, scale, scores, k, Threads::One)?;
                gemm(dk, width, Into::Add, scale, scores.t(), q, Threads::One)?;
                gemm(dv, width, Into::Add, 1.0, weights.t(), grad, Threads::One)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total = exp_in_place(row, max);
    let scale = 1.0 / total;
    for value in row.iter_mut() {
        *value *= scale;
    }
}

/// Turns the gradient of a row of weights into that of its scores.
fn softmax_backward(weights: &[f32], grad: &mut [f32]) {
    let mean = dot(weights, grad);
    for (grad, weight) in grad.iter_mut().zip(weights) {
        *grad = weight * (*grad - mean);
    }
}

/// What the backward pass reads.
struct Given<'a> {
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    grad: Heads<'a>,
}

/// What it writes for one key head: `[group, tq, d]`, `[tk, d]`, `[tk, d]`; the last two begin at 0.
struct Gradients<'a> {
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (Heads::new(q, ql)?, Heads::new(k, kl)?, Heads::new(v, vl)?);
        let mut y = vec![0.0; ql.shape().elem_count()];
        y.par_chunks_mut(self.size.queries * self.size.width)
            .enumerate()
            .try_for_each(|(plane, y)| self.forward_head(y, plane, q, k, v))?;
        Ok((CpuStorage::F32(y), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Size { queries, keys, width, .. } = self.size;
        let mut dq = vec![0.0; q.elem_count()];
        let mut dk = vec![0.0; k.elem_count()];
        let mut dv = vec![0.0; k.elem_count()];
        let grad = dense_rows(grad)?;
        let ((q_values, ql), (k_values, kl)) = (q.storage_and_layout(), k.storage_and_layout());
        let ((v_values, vl), (grad_values, gl)) = (v.storage_and_layout(), grad.storage_and_layout());
        let given = Given {
            q: Heads::new(cpu(&q_values)?, ql)?,
            k: Heads::new(cpu(&k_values)?, kl)?,
            v: Heads::new(cpu(&v_values)?, vl)?,
            grad: Heads::new(cpu(&grad_values)?, gl)?,
        };
        dq.par_chunks_mut(self.size.group() * queries * width)
            .zip(dk.par_chunks_mut(keys * width))
            .zip(dv.par_chunks_mut(keys * width))
            .enumerate()
            .try_for_each(|(plane, ((dq, dk), dv))| {
                self.backward_head(plane, &given, &mut Gradients { dq, dk, dv })
            })?;
        let dq = Tensor::from_vec(dq, q.shape(), q.device())?;
        let dk = Tensor::from_vec(dk, k.shape(), k.device())?;
        Ok((Some(dq), Some(dk), Some(Tensor::from_vec(dv, v.shape(), v.device())?)))
    }
}
