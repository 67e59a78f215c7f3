//! Causal attention over a batch's sequences and its gradient, by matrix products. The scores of a stretch of tokens are held
//! at once, and computed again for their gradient. Query heads that share a key head are rows of one matrix.

use half::bf16;

use super::kernels::{Parts, Scores};
use super::space::{Space, TOKENS, stride_of};
use crate::cuda::gpu::{Address, Gemm, Gpu, Into, Operand};
use crate::cuda::kernels::{Heads, Kernels};
use crate::error::Result;

const NARROW: usize = size_of::<bf16>();
const WIDE: usize = size_of::<f32>();

/// A stretch of a sequence's tokens.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Rows of the batch.
    rows: usize,
    /// The sequence's first.
    start: usize,
    /// The place of the first token in the sequence.
    first: usize,
    tokens: usize,
    /// Whether it is the sequence's last, which sees every key and comes first.
    is_last: bool,
    heads: Heads,
}

impl Stretch {
    /// Keys that any of the tokens sees.
    fn keys(&self) -> usize {
        self.first + self.tokens
    }

    /// Queries of a key head.
    fn queries(&self) -> usize {
        self.tokens * self.heads.group
    }

    /// The tokens' queries in `[kv heads, rows, group, width]`.
    fn of_queries(&self, at: Address, size: usize) -> Operand {
        let Heads { group, width, .. } = self.heads;
        let before = (self.start + self.first) * group * width;
        Operand::new(at.after(before * size), width).apart(self.rows * group * width)
    }

    /// The sequence's keys in `[rows, kv heads, width]`.
    fn of_keys(&self, at: Address, size: usize) -> Operand {
        let Heads { kv_heads, width, .. } = self.heads;
        Operand::new(at.after(self.start * kv_heads * width * size), kv_heads * width).apart(width)
    }

    /// Scores, or weights.
    fn of_scores(&self, at: Address) -> Operand {
        let stride = stride_of(self.keys());
        Operand::new(at, stride).apart(self.queries() * stride)
    }

    fn scores(&self, space: &Space) -> Scores {
        Scores {
            at: space.scores,
            planes: self.heads.kv_heads,
            queries: self.queries(),
            keys: self.keys(),
            stride: stride_of(self.keys()),
            first: self.first,
        }
    }

    /// A product for each key head.
    fn multiply<G: Gpu>(
        &self,
        gpu: &G,
        [a, b, out]: [Operand; 3],
        sizes: [usize; 3],
        scale: f32,
        into: Into,
    ) -> Result<()> {
        gpu.gemm(&Gemm { a, b, out, sizes, batch: self.heads.kv_heads, scale, into })
    }

    fn score<G: Gpu>(&self, kernels: &Kernels<G>, space: &Space) -> Result<()> {
        let operands = [
            self.of_queries(space.queries, NARROW),
            self.of_keys(space.keys, NARROW).turned(),
            self.of_scores(space.scores),
        ];
        let sizes = [self.queries(), self.heads.width, self.keys()];
        self.multiply(kernels.gpu, operands, sizes, self.heads.scale(), Into::Set)
    }
}

/// The stretches of sequences of so many tokens.
fn stretches(heads: Heads, lengths: &[usize]) -> Vec<Stretch> {
    let rows = lengths.iter().sum();
    let mut all = Vec::new();
    let mut start = 0;
    for length in lengths {
        for first in (0..*length).step_by(TOKENS).rev() {
            let tokens = TOKENS.min(length - first);
            all.push(Stretch { rows, start, first, tokens, is_last: first + tokens == *length, heads });
        }
        start += length;
    }
    all
}

/// What queries mix of the values, into `space.mixed`.
pub(super) fn attend<G: Gpu>(kernels: &Kernels<G>, space: &Space, lengths: &[usize]) -> Result<()> {
    for stretch in stretches(kernels.heads, lengths) {
        stretch.score(kernels, space)?;
        kernels.weigh(stretch.scores(space), space.weights)?;
        let operands = [
            stretch.of_scores(space.weights),
            stretch.of_keys(space.values, NARROW),
            stretch.of_queries(space.by_heads, NARROW),
        ];
        let sizes = [stretch.queries(), stretch.keys(), kernels.heads.width];
        stretch.multiply(kernels.gpu, operands, sizes, 1.0, Into::SetBf16)?;
    }
    kernels.by_rows(space.by_heads, space.mixed, lengths.iter().sum())
}

/// The gradients of queries, keys and values from that of what was mixed, `slope` in f32.
pub(super) fn attend_back<G: Gpu>(
    kernels: &Kernels<G>,
    space: &Space,
    lengths: &[usize],
    slope: Address,
) -> Result<Parts> {
    let (gpu, width, scale) = (kernels.gpu, kernels.heads.width, kernels.heads.scale());
    kernels.by_heads(slope, space.by_heads, lengths.iter().sum())?;
    for stretch in stretches(kernels.heads, lengths) {
        let (queries, keys) = (stretch.queries(), stretch.keys());
        let slope = stretch.of_queries(space.by_heads, NARROW);
        stretch.score(kernels, space)?;
        let values = stretch.of_keys(space.values, NARROW).turned();
        let operands = [slope, values, stretch.of_scores(space.weights_slope)];
        stretch.multiply(gpu, operands, [queries, width, keys], 1.0, Into::Set)?;
        let to = [space.weights, space.scores_slope];
        kernels.weigh_back(stretch.scores(space), space.weights_slope, to)?;

        let [weights, by_scores] = to.map(|at| stretch.of_scores(at));
        let operands =
            [by_scores, stretch.of_keys(space.keys, NARROW), stretch.of_queries(space.queries_slope, WIDE)];
        stretch.multiply(gpu, operands, [queries, keys, width], scale, Into::Set)?;
        let into = if stretch.is_last { Into::Set } else { Into::Add };
        let operands = [
            by_scores.turned(),
            stretch.of_queries(space.queries, NARROW),
            stretch.of_keys(space.keys_slope, WIDE),
        ];
        stretch.multiply(gpu, operands, [keys, queries, width], scale, into)?;
        let operands = [weights.turned(), slope, stretch.of_keys(space.values_slope, WIDE)];
        stretch.multiply(gpu, operands, [keys, queries, width], 1.0, into)?;
    }
    Ok(Parts { queries: space.queries_slope, keys: space.keys_slope, values: space.values_slope })
}
