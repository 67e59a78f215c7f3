//! Grouped-query attention.

use candle_core::{D, Result, Tensor, bail};

/// Which keys a query may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttentionMask {
    /// Query `i` sees keys `0..=offset + i`; `offset` is the length of the cache before the first query.
    Causal {
        /// Keys before the first query's own.
        offset: usize,
    },
    /// Block-diagonal: the tokens are cut at these cumulative lengths (`[0, n1, n1 + n2, ..]`, the last is the number
    /// of tokens) and see only their own segment.
    Segments(Vec<usize>),
}

impl AttentionMask {
    /// The keys that query `row` may look at.
    fn span(&self, row: usize, keys: usize) -> (usize, usize) {
        match self {
            Self::Causal { offset } => (0, (offset + row + 1).min(keys)),
            Self::Segments(bounds) => {
                let next = bounds
                    .partition_point(|&bound| bound <= row)
                    .min(bounds.len() - 1);
                (bounds[next.saturating_sub(1)], bounds[next])
            }
        }
    }

    fn check(&self, queries: usize, keys: usize) -> Result<()> {
        match self {
            Self::Causal { offset } if offset + queries <= keys => Ok(()),
            Self::Causal { offset } => bail!("{queries} queries after {offset} keys, but only {keys} keys"),
            Self::Segments(bounds) => {
                let whole = bounds.first() == Some(&0) && bounds.last() == Some(&queries) && queries == keys;
                if !whole || bounds.windows(2).any(|pair| pair[0] > pair[1]) {
                    bail!("segments {bounds:?} do not cut {queries} queries and {keys} keys");
                }
                Ok(())
            }
        }
    }
}

/// Softmax attention with scale `1/sqrt(d)`: q `[b, h, tq, d]`, k and v `[b, kvh, tk, d]` where `h` is a multiple of
/// `kvh` (query head `i` uses key head `i / (h / kvh)`); the result is `[b, h, tq, d]`.
///
/// # Errors
/// When the shapes or the mask do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask) -> Result<Tensor> {
    let (b, heads, queries, d) = q.dims4()?;
    let (_, kv_heads, keys, _) = k.dims4()?;
    mask.check(queries, keys)?;
    let group = heads / kv_heads;
    let q = q.contiguous()?.reshape((b, kv_heads, group * queries, d))?;
    let scores = (q.matmul(&k.t()?.contiguous()?)? / (d as f64).sqrt())?;
    let mut bias = vec![f32::NEG_INFINITY; queries * keys];
    for row in 0..queries {
        let (from, to) = mask.span(row, keys);
        bias[row * keys + from..row * keys + to].fill(0.0);
    }
    let bias = Tensor::from_vec(bias, (1, 1, 1, queries, keys), q.device())?;
    let scores = scores
        .reshape((b, kv_heads, group, queries, keys))?
        .broadcast_add(&bias)?;
    let exp = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?
        .exp()?;
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    let weights = weights.reshape((b, kv_heads, group * queries, keys))?;
    weights.matmul(&v.contiguous()?)?.reshape((b, heads, queries, d))
}
