//! Causal attention over a batch's sequences and its gradient, by matrix products: the scores of a stretch of queries are
//! held at once, and computed again for their gradient. Query heads that share a key head take turns.

use half::bf16;

use super::kernels::{Parts, Scores};
use super::space::{QUERIES, Space};
use crate::cuda::gpu::{Address, Gemm, Gpu, Into, Operand};
use crate::cuda::kernels::{Heads, Kernels};
use crate::error::Result;

/// A stretch of a sequence's queries, of one query head of each key head.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// The sequence's first row.
    start: usize,
    /// The place of the first query in it.
    first: usize,
    queries: usize,
    /// Which of the query heads that share a key head.
    nth: usize,
    /// Whether nothing has been added to the sequence's keys and values before.
    is_first: bool,
    heads: Heads,
}

impl Stretch {
    /// Keys that any of the queries sees.
    fn keys(&self) -> usize {
        self.first + self.queries
    }

    /// The queries' rows in `[rows, heads, width]`.
    fn of_queries(&self, at: Address, size: usize) -> Operand {
        let Heads { kv_heads, group, width } = self.heads;
        let before = ((self.start + self.first) * kv_heads * group + self.nth) * width;
        Operand::new(at.after(before * size), kv_heads * group * width).apart(group * width)
    }

    /// The keys' rows in `[rows, kv heads, width]`.
    fn of_keys(&self, at: Address, size: usize) -> Operand {
        let Heads { kv_heads, width, .. } = self.heads;
        Operand::new(at.after(self.start * kv_heads * width * size), kv_heads * width).apart(width)
    }

    /// Scores, or weights.
    fn of_scores(&self, at: Address) -> Operand {
        Operand::new(at, self.keys()).apart(self.queries * self.keys())
    }

    fn scores(&self, space: &Space) -> Scores {
        let Self { first, queries, heads, .. } = *self;
        Scores { at: space.scores, planes: heads.kv_heads, queries, keys: self.keys(), first }
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
}

/// Stretches of sequences of so many tokens; those of a sequence from its last to its first, so that the first of them sees
/// every key.
fn stretches(heads: Heads, lengths: &[usize]) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut start = 0;
    for length in lengths {
        for first in (0..*length).step_by(QUERIES).rev() {
            let queries = QUERIES.min(length - first);
            let is_first = |nth| nth == 0 && first + queries == *length;
            let each = (0..heads.group).map(|nth| Stretch {
                start,
                first,
                queries,
                nth,
                is_first: is_first(nth),
                heads,
            });
            all.extend(each);
        }
        start += length;
    }
    all
}

const NARROW: usize = size_of::<bf16>();
const WIDE: usize = size_of::<f32>();

/// What queries mix of the values, into `space.mixed`.
pub(super) fn attend<G: Gpu>(kernels: &Kernels<G>, space: &Space, lengths: &[usize]) -> Result<()> {
    let width = kernels.heads.width;
    for stretch in stretches(kernels.heads, lengths) {
        score(kernels, space, &stretch)?;
        kernels.weigh(stretch.scores(space), space.weights)?;
        let operands = [
            stretch.of_scores(space.weights),
            stretch.of_keys(space.values, NARROW),
            stretch.of_queries(space.mixed, NARROW),
        ];
        let sizes = [stretch.queries, stretch.keys(), width];
        stretch.multiply(kernels.gpu, operands, sizes, 1.0, Into::SetBf16)?;
    }
    Ok(())
}

fn score<G: Gpu>(kernels: &Kernels<G>, space: &Space, stretch: &Stretch) -> Result<()> {
    let Heads { width, .. } = kernels.heads;
    let operands = [
        stretch.of_queries(space.queries, NARROW),
        stretch.of_keys(space.keys, NARROW).turned(),
        stretch.of_scores(space.scores),
    ];
    let sizes = [stretch.queries, width, stretch.keys()];
    stretch.multiply(kernels.gpu, operands, sizes, kernels.heads.scale(), Into::Set)
}

/// The gradients of queries, keys and values from that of what was mixed, `slope` in bf16.
pub(super) fn attend_back<G: Gpu>(
    kernels: &Kernels<G>,
    space: &Space,
    lengths: &[usize],
    slope: Address,
) -> Result<Parts> {
    let (gpu, width, scale) = (kernels.gpu, kernels.heads.width, kernels.heads.scale());
    for stretch in stretches(kernels.heads, lengths) {
        let (queries, keys) = (stretch.queries, stretch.keys());
        let slope = stretch.of_queries(slope, NARROW);
        score(kernels, space, &stretch)?;
        let values = stretch.of_keys(space.values, NARROW).turned();
        let operands = [slope, values, stretch.of_scores(space.weights_slope)];
        stretch.multiply(gpu, operands, [queries, width, keys], 1.0, Into::Set)?;
        let scores = stretch.scores(space);
        kernels.weigh_back(scores, space.weights_slope, [space.weights, space.scores_slope])?;

        let (weights, by_scores) = (stretch.of_scores(space.weights), stretch.of_scores(space.scores_slope));
        let operands =
            [by_scores, stretch.of_keys(space.keys, NARROW), stretch.of_queries(space.queries_slope, WIDE)];
        stretch.multiply(gpu, operands, [queries, keys, width], scale, Into::Set)?;
        let into = if stretch.is_first { Into::Set } else { Into::Add };
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
