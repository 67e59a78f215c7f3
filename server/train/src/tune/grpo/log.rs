//! The log of a run, and rollouts to read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rollout::Rollout;
use crate::dataset::record::Record;
use crate::error::{Result, TrainError};
use crate::place::write;

/// One step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepLine {
    /// Steps taken.
    pub step: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Mean reward.
    pub reward: f64,
    /// Share of right answers.
    pub right: f64,
    /// Share of runs of valid grammar.
    pub valid: f64,
    /// Mean searches of a rollout.
    pub searches: f64,
    /// Searches that a recording had no answer to.
    #[serde(skip_serializing_if = "is_none")]
    pub missed: usize,
    /// Conversations that were longer than the recipe's `batch.max_length` and not learnt from.
    #[serde(skip_serializing_if = "is_none")]
    pub too_long: usize,
    /// Mean tokens that a rollout wrote.
    pub length: f64,
    /// Share of groups whose rollouts did not all do equally well: only these teach.
    pub mixed: f64,
    /// Mean k3 distance to the reference per token.
    pub kl: f64,
    /// Mean surprise per token: an estimate of the entropy.
    pub entropy: f64,
    /// Share of tokens whose surrogate is clipped.
    pub clipped: f64,
    /// Mean norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Tokens learnt from, what was read included; what several rollouts of a group wrote counts once.
    pub tokens: u64,
    /// Seconds of this step that went into rollouts, and into learning.
    pub rollout_seconds: f64,
    /// See above.
    pub learn_seconds: f64,
    /// Share of right answers on the development set, greedy, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<f64>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct Sample<'a> {
    id: &'a str,
    question: &'a str,
    gold: &'a str,
    answer: Option<&'a str>,
    turns: Vec<String>,
    reward: f64,
    advantage: f64,
}

/// Writes a group's rollouts, so that somebody can read what is rewarded.
///
/// # Errors
/// When they cannot be written.
pub(super) fn samples(
    folder: &Path,
    step: u64,
    row: &Record,
    rollouts: &[Rollout],
    rewards: &[f64],
    advantages: &[f64],
) -> Result<()> {
    let path = folder.join(format!("step-{step:06}.jsonl"));
    let mut text = String::new();
    for ((rollout, reward), advantage) in rollouts.iter().zip(rewards).zip(advantages) {
        let sample = Sample {
            id: &row.id,
            question: &row.question,
            gold: &row.answer,
            answer: rollout.answer.as_deref(),
            turns: rollout.transcript(),
            reward: *reward,
            advantage: *advantage,
        };
        let line = serde_json::to_string(&sample).map_err(std::io::Error::from);
        text.push_str(&line.map_err(TrainError::file(&path))?);
        text.push('\n');
    }
    Ok(write(&path, text.as_bytes())?)
}
