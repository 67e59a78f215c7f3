//! What a run will need, before it is begun: rows, tokens, memory and time.

use std::time::Instant;

use loupe_mllm::ops::Term;
use serde::Serialize;

use super::base::Base;
use super::recipe::SftRecipe;
use super::records::Records;
use crate::error::{Result, TrainError};
use crate::learn::batch::pool;

/// Batches that are timed.
const TIMED: usize = 3;

/// What a run will need.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Rows of an epoch.
    pub rows: u64,
    /// Numbers under training.
    pub trained: u64,
    /// Numbers that stay as they are.
    pub frozen: u64,
    /// Tokens of the run, extrapolated from the first rows.
    pub tokens: u64,
    /// Steps of the run, likewise.
    pub steps: u64,
    /// Bytes of weights, gradients and optimiser state.
    pub weight_bytes: u64,
    /// Bytes of what a batch keeps for its gradients, by the model's shape.
    pub activation_bytes: u64,
    /// Seconds of the run on this machine, from a few batches that were timed.
    pub seconds: f64,
}

/// Measures a few batches and extrapolates; nothing is changed.
///
/// # Errors
/// When rows cannot be read, or no row is short enough for the recipe.
pub fn estimate(base: &Base, records: &Records, recipe: &SftRecipe) -> Result<Estimate> {
    let batches = pool(records, &base.chat, &recipe.batch, recipe.seed, 0)?;
    let (mut tokens, mut rows, mut largest) = (0, 0, 0);
    for batch in &batches {
        tokens += batch.tokens;
        rows += batch.kinds.len() as u64;
        largest = largest.max(batch.ids.elem_count() as u64);
    }
    if batches.is_empty() {
        return Err(TrainError::TooLong { max_length: recipe.batch.max_length });
    }
    let timed = &batches[..batches.len().min(TIMED)];
    let began = Instant::now();
    for batch in timed {
        base.learner.pass(batch, 1.0, |_, surprise| Term { value: surprise, slope: 1.0 })?;
    }
    let timed_tokens: u64 = timed.iter().map(|batch| batch.tokens).sum();
    let per_token = began.elapsed().as_secs_f64() / timed_tokens.max(1) as f64;
    let run_rows = (records.len() as f64 * recipe.epochs).ceil();
    let run_tokens = run_rows * tokens as f64 / rows.max(1) as f64;
    let run_batches = run_rows * batches.len() as f64 / rows.max(1) as f64;
    let trained = base.learner.params.count() as u64;
    let frozen = parameters(base);
    Ok(Estimate {
        rows: records.len(),
        trained,
        frozen,
        tokens: run_tokens as u64,
        steps: (run_batches / recipe.accumulate as f64).ceil() as u64,
        // The weights, and for what is trained a gradient and two moments.
        weight_bytes: 4 * (frozen + 4 * trained),
        activation_bytes: activations(base, largest, recipe.checkpointing),
        seconds: run_tokens * per_token,
    })
}

fn parameters(base: &Base) -> u64 {
    let (text, vision) = (&base.config.text, &base.config.vision);
    let attention = 2 * text.hidden_size * (text.hidden_size + text.kv_size());
    let layer = attention + 3 * text.hidden_size * text.intermediate_size;
    let tables = text.vocab_size * text.hidden_size * if base.config.tied { 1 } else { 2 };
    let block =
        4 * vision.hidden_size * vision.hidden_size + 3 * vision.hidden_size * vision.intermediate_size;
    let merged = 4 * vision.hidden_size;
    let merger = merged * merged + merged * vision.out_hidden_size;
    (text.layers * layer + tables + vision.depth * block + merger) as u64
}

/// What one decoder layer keeps of a token: its input, the norms, queries, keys, values and what attention mixed of them,
/// and of the feed-forward layer its two halves and their product; with the halves of the pairs beside them.
fn activations(base: &Base, tokens: u64, checkpointing: bool) -> u64 {
    let text = &base.config.text;
    let kept = 7 * text.hidden_size + 2 * text.kv_size() + 4 * text.intermediate_size;
    let layers = text.layers as u64;
    let whole = match checkpointing {
        false => layers * kept as u64,
        true => layers * text.hidden_size as u64 + kept as u64,
    };
    4 * tokens * whole
}
