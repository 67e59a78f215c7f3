//! What a run will need, before it is begun: rows, tokens, memory and time.

use std::time::Instant;

use loupe_mllm::cuda::tune::Load;
use loupe_mllm::ops::{self, Term};
use serde::Serialize;

use super::base::Base;
use super::lora::LoraConfig;
use super::memory::Memory;
use super::recipe::SftRecipe;
use super::records::Records;
use super::sft::measured;
use crate::error::{Result, TrainError};
use crate::learn::batch::{Batch, Pictures, pool};

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
    /// Whether they are a GPU's.
    pub on_gpu: bool,
    /// Bytes of the development set's pictures, which stay in memory.
    pub dev_pictures: u64,
    /// Seconds of the run on this machine, from a few batches that were timed, the development set's measurements
    /// included.
    pub seconds: f64,
}

/// Measures a few batches and extrapolates; nothing is changed.
///
/// # Errors
/// When rows cannot be read, or no row is short enough for the recipe.
pub fn estimate(
    base: &Base,
    records: &Records,
    dev: Option<&Records>,
    recipe: &SftRecipe,
) -> Result<Estimate> {
    ops::prepare_to_train();
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
    let learn = |batch: &Batch| {
        base.learner.pass(batch, 1.0, |_, surprise| Term { value: surprise, slope: 1.0 }).map(drop)
    };
    // The first pass pays for what later ones find ready.
    batches.first().map(learn).transpose()?;
    let per_token = seconds_a_token(&batches, learn)?;
    let dev = dev.map(|dev| measured(dev, base, recipe)).transpose()?.unwrap_or_default();
    let per_dev_token =
        seconds_a_token(&dev, |batch| base.learner.model.foretold(batch, 1.0, true).map(drop))?;
    let run_rows = (records.len() as f64 * recipe.epochs).ceil();
    let run_tokens = run_rows * tokens as f64 / rows.max(1) as f64;
    let run_batches = run_rows * batches.len() as f64 / rows.max(1) as f64;
    let steps = (run_batches / recipe.accumulate as f64).ceil() as u64;
    let measurements = steps / recipe.early_stop.every;
    let dev_tokens: u64 = dev.iter().map(|batch| batch.tokens).sum();
    let trained = base.learner.params.count() as u64;
    let on_gpu = base.learner.model.is_gpu();
    let memory = match on_gpu {
        true => Memory::on_gpu(&base.config, &load(&batches, trained, &recipe.lora)?),
        false => Memory::of(&base.config, trained, largest, recipe.checkpointing),
    };
    Ok(Estimate {
        rows: records.len(),
        trained,
        frozen: base.config.parameters(),
        tokens: run_tokens as u64,
        steps,
        memory,
        on_gpu,
        dev_pictures: dev.iter().map(picture_bytes).sum(),
        seconds: run_tokens * per_token + (measurements * dev_tokens) as f64 * per_dev_token,
    })
}

/// The most that a GPU has to hold at once for batches.
fn load(batches: &[Batch], trained: u64, lora: &LoraConfig) -> Result<Load> {
    let mut load =
        Load { trained, rank: lora.rank, drops: lora.dropout > 0.0, tokens: 0, longest: 0, patches: 0 };
    for batch in batches {
        load.tokens = load.tokens.max(batch.tokens as usize);
        load.longest = load.longest.max(batch.ids.dim(1)?);
        load.patches = load.patches.max(batch.grids.iter().map(|grid| grid.patches()).sum());
    }
    Ok(load)
}

/// What a token of the first few batches takes.
fn seconds_a_token(batches: &[Batch], pass: impl Fn(&Batch) -> Result<()>) -> Result<f64> {
    let timed = &batches[..batches.len().min(TIMED)];
    let began = Instant::now();
    timed.iter().try_for_each(pass)?;
    let tokens: u64 = timed.iter().map(|batch| batch.tokens).sum();
    Ok(began.elapsed().as_secs_f64() / tokens.max(1) as f64)
}

fn picture_bytes(batch: &Batch) -> u64 {
    let Some(Pictures::Patches(tensor) | Pictures::Seen(tensor)) = &batch.pictures else { return 0 };
    (tensor.elem_count() * size_of::<f32>()) as u64
}
