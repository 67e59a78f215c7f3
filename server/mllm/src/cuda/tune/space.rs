//! Where a pass keeps its intermediate values: one stretch of memory, laid out for each batch.

use half::bf16;

use crate::config::TextConfig;
use crate::cuda::gpu::Address;
use crate::tuning::Reading;

/// Alignment of every part: what the widest loads and tensor cores want.
const ALIGNMENT: usize = 256;
/// Tokens whose scores are held at once.
pub(super) const TOKENS: usize = 256;
/// Targets whose scores are held at once.
pub(super) const SCORED: usize = 256;
/// Numbers that are said of a target; `SAID` of `kernels/tune.cu`.
pub(super) const SAID: usize = 4;

/// Numbers from the scores of a query to those of the next, so that every query's begin where wide loads want them.
pub(super) fn stride_of(keys: usize) -> usize {
    keys.next_multiple_of(8)
}

/// What a pass is laid out for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) longest: usize,
    pub(super) targets: usize,
    /// Numbers of embeddings that are given.
    pub(super) given: usize,
    /// The greatest rank of the pairs; 0 without.
    pub(super) rank: usize,
    /// Whether the pairs' inputs are dropped out.
    pub(super) drops: bool,
    /// Whether there are gradients.
    pub(super) learns: bool,
}

impl Size {
    pub(super) fn of(reading: &Reading) -> Self {
        Self {
            rows: reading.inputs.len(),
            longest: reading.longest(),
            targets: reading.targets.len(),
            given: reading.embeds.len(),
            rank: 0,
            drops: false,
            learns: false,
        }
    }
}

/// Places of a pass's values. Those that end in `_slope` are gradients, and there only where there are any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    /// `[rows]`: a token, or -1 - n for the n-th embedding that is given.
    pub(super) ids: Address,
    /// `[rows, 3]`
    pub(super) positions: Address,
    /// `[targets]`: the rows that foretell them.
    pub(super) order: Address,
    /// `[targets]`
    pub(super) targets: Address,
    /// f32.
    pub(super) given: Address,
    /// What is between the layers, `[layers + 1, rows, hidden]` in f32; without gradients two of them, by turns.
    pub(super) between: Address,
    /// `[rows, hidden]`
    pub(super) normed: Address,
    /// `[rows, qkv]`, f32.
    pub(super) qkv: Address,
    /// `[kv heads, rows, group, width]`
    pub(super) queries: Address,
    /// `[rows, kv heads, width]`, as the values.
    pub(super) keys: Address,
    pub(super) values: Address,
    /// What queries mix of the values, or its gradient, as the queries lie.
    pub(super) by_heads: Address,
    /// `[rows, hidden]`
    pub(super) mixed: Address,
    /// The stream between attention and the feed-forward layer, f32.
    pub(super) middle: Address,
    /// `[rows, hidden]`
    pub(super) mlp_normed: Address,
    /// `[rows, 2 * inner]`, f32.
    pub(super) gate_up: Address,
    /// `[rows, inner]`
    pub(super) inner: Address,
    /// `[kv heads, TOKENS * group, stride]`: scores in f32, their weights.
    pub(super) scores: Address,
    pub(super) weights: Address,
    /// `[rows, rank]`
    pub(super) low: Address,
    /// `[rows, hidden or inner]`
    pub(super) dropped: Address,
    /// `[SCORED, hidden]`
    pub(super) head: Address,
    /// `[SCORED, vocab]`, f32.
    pub(super) logits: Address,
    /// `[SCORED, SAID]`, f32.
    pub(super) said: Address,

    /// `[rows, hidden]`, f32: of the stream.
    pub(super) slope: Address,
    /// `[rows, hidden]`: the same in bf16.
    pub(super) narrow_slope: Address,
    /// `[rows, hidden]`, f32: of what a product was given.
    pub(super) normed_slope: Address,
    /// `[rows, inner]`, f32.
    pub(super) inner_slope: Address,
    pub(super) gate_up_slope: Address,
    /// f32.
    pub(super) queries_slope: Address,
    pub(super) keys_slope: Address,
    pub(super) values_slope: Address,
    pub(super) qkv_slope: Address,
    /// As `scores`: of the weights in f32, of the scores.
    pub(super) weights_slope: Address,
    pub(super) scores_slope: Address,
    pub(super) low_slope: Address,
    /// f32.
    pub(super) dropped_slope: Address,
    /// `[SCORED]`, f32: of the surprises.
    pub(super) said_slope: Address,
    pub(super) logits_slope: Address,
    /// f32.
    pub(super) head_slope: Address,
    /// Bytes of all.
    pub(super) bytes: usize,
}

impl Space {
    /// For a pass that begins at `base`.
    pub(super) fn new(base: Address, config: &TextConfig, size: &Size) -> Self {
        let Size { rows, longest, targets, given, rank, drops, learns } = *size;
        let (hidden, inner, kv, vocab) =
            (config.hidden_size, config.intermediate_size, config.kv_size(), config.vocab_size);
        let (narrow, wide) = (size_of::<bf16>(), size_of::<f32>());
        let back = |bytes: usize| if learns { bytes } else { 0 };
        let streams = if learns { config.layers + 1 } else { 2 };
        let planes = config.heads * TOKENS.min(longest) * stride_of(longest);
        let dropped = if drops { rows * hidden.max(inner) } else { 0 };
        let scored = SCORED.min(targets);
        let qkv = hidden + 2 * kv;
        let mut bytes = 0;
        let mut part = |size: usize| {
            let at = base.after(bytes);
            bytes += size.next_multiple_of(ALIGNMENT);
            at
        };
        Self {
            ids: part(rows * size_of::<i32>()),
            positions: part(3 * rows * size_of::<i32>()),
            order: part(targets * size_of::<i32>()),
            targets: part(targets * size_of::<i32>()),
            given: part(given * wide),
            between: part(streams * rows * hidden * wide),
            normed: part(rows * hidden * narrow),
            qkv: part(rows * qkv * wide),
            queries: part(rows * hidden * narrow),
            keys: part(rows * kv * narrow),
            values: part(rows * kv * narrow),
            by_heads: part(rows * hidden * narrow),
            mixed: part(rows * hidden * narrow),
            middle: part(rows * hidden * wide),
            mlp_normed: part(rows * hidden * narrow),
            gate_up: part(rows * 2 * inner * wide),
            inner: part(rows * inner * narrow),
            scores: part(planes * wide),
            weights: part(planes * narrow),
            low: part(rows * rank * narrow),
            dropped: part(dropped * narrow),
            head: part(scored * hidden * narrow),
            logits: part(scored * vocab * wide),
            said: part(scored * SAID * wide),
            slope: part(back(rows * hidden * wide)),
            narrow_slope: part(back(rows * hidden * narrow)),
            normed_slope: part(back(rows * hidden * wide)),
            inner_slope: part(back(rows * inner * wide)),
            gate_up_slope: part(back(rows * 2 * inner * narrow)),
            queries_slope: part(back(rows * hidden * wide)),
            keys_slope: part(back(rows * kv * wide)),
            values_slope: part(back(rows * kv * wide)),
            qkv_slope: part(back(rows * qkv * narrow)),
            weights_slope: part(back(planes * wide)),
            scores_slope: part(back(planes * narrow)),
            low_slope: part(back(rows * rank * narrow)),
            dropped_slope: part(back(dropped * wide)),
            said_slope: part(back(scored * wide)),
            logits_slope: part(back(scored * vocab * narrow)),
            head_slope: part(back(scored * hidden * wide)),
            bytes,
        }
    }
}
