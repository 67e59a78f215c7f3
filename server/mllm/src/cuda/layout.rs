//! Where a step keeps its intermediate values: one stretch of memory, laid out anew for each shape of step.

use half::bf16;

use super::beside::Beside;
use super::choosing::mask_words;
use super::gpu::Address;
use super::inputs::Inputs;
use super::kernels::{Heads, Kernels};
use crate::config::TextConfig;

/// Alignment of every part: what the widest loads and tensor cores want.
const ALIGNMENT: usize = 256;

/// Places of a step's values, from the beginning of the memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// The batch in integers.
    pub(super) inputs: Address,
    /// Embeddings that are given, f32.
    pub(super) given: Address,
    /// The residual stream `[rows, hidden]`, f32.
    pub(super) x: Address,
    /// `[rows, hidden]`
    pub(super) normed: Address,
    /// `[rows, all heads, width]`, f32.
    pub(super) qkv: Address,
    /// `[rows, hidden]`
    pub(super) queries: Address,
    /// `[rows, hidden]`
    pub(super) mixed: Address,
    /// `[rows, 2 * intermediate]`
    pub(super) gate_up: Address,
    /// `[rows, intermediate]`
    pub(super) inner: Address,
    /// What single tokens need to attend.
    pub(super) few: Address,
    /// `[rows]`: pointers to the rows' adapters, where any row uses one.
    pub(super) adapters: Address,
    /// What adapters make of x.
    pub(super) low: Address,
    /// `[wanted, vocab]`, f32.
    pub(super) logits: Address,
    /// `[wanted, mask_words(vocab)]`: tokens that may be taken, of the rows where not all may.
    pub(super) masks: Address,
    /// What choosing needs.
    pub(super) choosing: Address,
    /// `[wanted]`: the tokens that are chosen.
    pub(super) ids: Address,
    /// Bytes of all.
    pub(super) bytes: usize,
}

impl Layout {
    /// For a step that begins at `base`.
    pub(super) fn new<G: super::gpu::Gpu>(
        base: Address,
        config: &TextConfig,
        heads: &Heads,
        inputs: &Inputs,
        given: usize,
    ) -> Self {
        let (rows, rank) = (inputs.bucket.rows, inputs.bucket.rank);
        let (wanted, hidden) = (inputs.wanted, config.hidden_size);
        let (narrow, wide) = (size_of::<bf16>(), size_of::<f32>());
        let mut bytes = 0;
        let mut part = |size: usize| {
            let at = base.after(bytes);
            bytes += size.next_multiple_of(ALIGNMENT);
            at
        };
        let few = inputs.split(heads).map_or(0, |split| Kernels::<G>::few_space(heads, split, rows));
        Self {
            // Parts whose size does not depend on the bucket alone come last: recorded steps keep their addresses.
            inputs: part(inputs.data.len() * size_of::<i32>()),
            x: part(rows * hidden * wide),
            normed: part(rows.max(wanted) * hidden * narrow),
            qkv: part(rows * (hidden + 2 * config.kv_size()) * wide),
            queries: part(rows * hidden * narrow),
            mixed: part(rows * hidden * narrow),
            gate_up: part(rows * 2 * config.intermediate_size * narrow),
            inner: part(rows * config.intermediate_size * narrow),
            few: part(few),
            adapters: part(if rank > 0 { rows * size_of::<u64>() } else { 0 }),
            low: part(Beside::low_bytes(rows, rank)),
            logits: part(wanted * config.vocab_size * wide),
            masks: part(wanted * mask_words(config.vocab_size) * size_of::<u32>()),
            choosing: part(Kernels::<G>::choose_space([wanted, config.vocab_size])),
            ids: part(wanted * size_of::<i32>()),
            given: part(given * wide),
            bytes,
        }
    }
}
