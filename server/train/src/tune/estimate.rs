//! What a run will need, before it is begun: rows, tokens, memory and time.

use std::time::Instant;

use loupe_mllm::ops::Term;
use serde::Serialize;

use super::base::Base;
use super::memory::{Memory, parameters};
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
    /// Bytes that it needs, by the model's shape.
    pub memory: Memory,
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
    let memory = Memory::of(&base.config, trained, largest, recipe.checkpointing);
    Ok(Estimate {
        rows: records.len(),
        trained,
        frozen: parameters(&base.config),
        tokens: run_tokens as u64,
        steps: (run_batches / recipe.accumulate as f64).ceil() as u64,
        memory,
        seconds: run_tokens * per_token,
    })
}
