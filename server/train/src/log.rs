//! The log of a run: one JSON object a line, appended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Result, TrainError};

/// Sums over some tokens or turns of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Weighted loss.
    pub loss: f64,
    /// Weight.
    pub weight: f64,
    /// Assistant turns.
    pub turns: u64,
    /// Of these, how many the model would have written exactly so by greedy decoding.
    pub exact: u64,
}

impl Tally {
    /// Adds another's sums.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.turns += other.turns;
        self.exact += other.exact;
    }
}

/// One line: means over the steps since the line before.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Steps taken.
    pub step: u64,
    /// Tokens read so far, padding left out, pictures' tokens included.
    pub tokens: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Mean loss of the language model, in nats per weighted token.
    pub loss: f64,
    /// Mean loss of the dense teacher where there was one.
    pub dense: Option<f64>,
    /// Loss on the development set, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<f64>,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Mean norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// By kind of example, and for assistant turns by their number in the conversation (`trajectory/2`).
    pub kinds: BTreeMap<String, KindLine>,
}

/// A kind of example in a line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KindLine {
    /// Mean loss in nats per weighted token.
    pub loss: f64,
    /// Part of the assistant turns that greedy decoding would have written exactly so; none where there were no turns.
    pub exact: Option<f64>,
    /// Assistant turns.
    pub turns: u64,
}

impl From<&Tally> for KindLine {
    fn from(tally: &Tally) -> Self {
        Self {
            loss: if tally.weight > 0.0 { tally.loss / tally.weight } else { 0.0 },
            exact: (tally.turns > 0).then(|| tally.exact as f64 / tally.turns as f64),
            turns: tally.turns,
        }
    }
}

/// The open log.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the log to append.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::file(path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let written = serde_json::to_string(line).map_err(std::io::Error::from);
        written.and_then(|text| writeln!(self.file, "{text}")).map_err(TrainError::file(&self.path))
    }
}
