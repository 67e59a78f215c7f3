//! How to tune a model, as files say it.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::lora::LoraConfig;
use crate::error::{Result, TrainError};
use crate::learn::batch::BatchRecipe;
use crate::learn::checkpoint::check_minutes;
use crate::learn::optim::AdamWConfig;
use crate::learn::schedule::Schedule;

/// A recipe of supervised fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftRecipe {
    /// Seed of the adapter's first numbers, of the order of the rows and of dropout.
    pub seed: u64,
    /// The adapter.
    #[serde(default)]
    pub lora: LoraConfig,
    /// The optimiser.
    #[serde(default)]
    pub optimiser: AdamWConfig,
    /// The learning rate. The paper: 1e-4, cosine, warm-up over a tenth of the steps.
    pub schedule: Schedule,
    /// How often every row is read. The paper: 3.
    pub epochs: f64,
    /// How rows are put together.
    pub batch: BatchRecipe,
    /// Batches whose gradients are summed before the weights move.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Whether layers are computed again for their gradients, to save memory.
    #[serde(default)]
    pub checkpointing: bool,
    /// Ends the run when the development set gets no better.
    #[serde(default)]
    pub early_stop: EarlyStop,
    /// Steps between two lines of the log.
    pub log_steps: u64,
    /// Minutes between two checkpoints.
    pub save_minutes: f64,
}

fn one() -> usize {
    1
}

/// When a run ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStop {
    /// Steps between two measurements on the development set.
    pub every: u64,
    /// Measurements without a better one after which the run ends.
    pub patience: u32,
}

impl Default for EarlyStop {
    fn default() -> Self {
        Self { every: 100, patience: 5 }
    }
}

impl SftRecipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// When the file cannot be read or a field does not fit.
    pub fn read(path: &Path) -> Result<Self> {
        read(path, Self::check)
    }

    fn check(&self) -> Result<(), String> {
        self.lora.check()?;
        self.optimiser.check()?;
        self.schedule.check()?;
        self.batch.check()?;
        check_minutes(self.save_minutes)?;
        if self.accumulate == 0 || self.log_steps == 0 || self.early_stop.every == 0 {
            return Err("accumulate, log_steps and early_stop.every have to be above 0".into());
        }
        if self.early_stop.patience == 0 {
            return Err(
                "early_stop.patience has to be above 0: the first measurement is the best so far".into()
            );
        }
        match self.epochs > 0.0 && self.epochs.is_finite() {
            true => Ok(()),
            false => Err("epochs has to be above 0".into()),
        }
    }
}

/// Reads a recipe and checks it; the error names the file and the field.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(TrainError::file(path))?;
    let bad = |reason: String| TrainError::Recipe { path: path.to_owned(), reason };
    let recipe = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    check(&recipe).map_err(bad)?;
    Ok(recipe)
}
