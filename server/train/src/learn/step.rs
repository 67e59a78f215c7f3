//! One step: passes over batches, and an update.

use std::collections::BTreeMap;

use loupe_mllm::ops::Term;
use loupe_mllm::tuning::Foretold;

use crate::error::{Result, TrainError};
use crate::learn::batch::{Batch, Target};
use crate::learn::dense::DenseHead;
use crate::learn::example::TRAITS;
use crate::learn::grads::Grads;
use crate::learn::log::Tally;
use crate::learn::machine::Machine;
use crate::learn::optim::AdamW;
use crate::learn::params::Params;

/// A model under training.
pub struct Learner {
    /// What of its weights is trained.
    pub params: Params,
    /// The model over them.
    pub model: Machine,
    /// The dense teacher's head and the weight of its loss, where there is one.
    pub dense: Option<(DenseHead, f64)>,
    /// The optimiser.
    pub optimiser: AdamW,
    /// Whether only what is between the decoder's layers is kept, and each computed again for its gradient: a third more
    /// time, and a fraction of the memory. On a GPU they always are.
    pub checkpointing: bool,
    /// What logits are divided by, so that likelihoods are those that tokens were sampled with; 1 but for reinforcement.
    pub temperature: f64,
}

/// What a step found.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The language model's loss.
    pub loss: f64,
    /// The dense teacher's loss, where there were labels.
    pub dense: Option<f64>,
    /// Norm of the gradients before clipping.
    pub grad_norm: f64,
    /// By kind of example, and by kind and assistant's turn.
    pub kinds: BTreeMap<String, Tally>,
}

impl Learner {
    /// Learns from batches, whose targets count together, with learning rate `rate`; `step` is for messages.
    ///
    /// # Errors
    /// When a batch does not fit the model, or loss or gradients are not finite; the weights are unchanged then.
    pub fn step(&mut self, batches: &[Batch], rate: f64, step: u64) -> Result<StepReport> {
        let weight = |batch: &Batch| batch.targets.iter().map(|target| f64::from(target.weight)).sum::<f64>();
        let total: f64 = batches.iter().map(weight).sum();
        let scale = if total > 0.0 { (1.0 / total) as f32 } else { 0.0 };
        let mut report = StepReport { loss: 0.0, dense: None, grad_norm: 0.0, kinds: BTreeMap::new() };
        let mut grads = Grads::default();
        for batch in batches {
            let pass = self.pass(batch, 1.0 / batches.len() as f64, |row, surprise| {
                let weight = batch.targets[row].weight * scale;
                Term { value: weight * surprise, slope: weight }
            })?;
            report.loss += pass.loss;
            if let Some(dense) = pass.dense {
                *report.dense.get_or_insert(0.0) += dense;
            }
            for (kind, tally) in tallies(batch, &pass.words).into_iter().chain(cells(&pass.told)) {
                report.kinds.entry(kind).or_default().add(&tally);
            }
            grads.add(pass.grads)?;
        }
        if !(report.loss.is_finite() && report.dense.is_none_or(f64::is_finite)) {
            return Err(TrainError::NotFinite { step, what: "loss" });
        }
        report.grad_norm = self.update(&grads, rate, step)?;
        Ok(report)
    }

    /// Moves the weights; gives the norm of the gradients before clipping.
    ///
    /// # Errors
    /// When it is not finite; the weights are unchanged then.
    pub(crate) fn update(&mut self, grads: &Grads, rate: f64, step: u64) -> Result<f64> {
        let norm = self.optimiser.step(&self.params.all(), grads, rate)?;
        if !norm.is_finite() {
            return Err(TrainError::NotFinite { step, what: "gradient" });
        }
        Ok(norm)
    }
}

/// What the dense teacher was told: `cells` for the class, `cells/0` and so on for each trait.
fn cells(told: &[Tally; 1 + TRAITS]) -> impl Iterator<Item = (String, Tally)> {
    let name =
        |place: usize| place.checked_sub(1).map_or_else(|| "cells".into(), |sort| format!("cells/{sort}"));
    told.iter().enumerate().filter(|(_, told)| told.turns > 0).map(move |(place, told)| (name(place), *told))
}

/// Sums of losses by kind, and of exact turns by kind and turn.
fn tallies(batch: &Batch, words: &Foretold) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let rows: Vec<(&Target, (&f32, &bool))> =
        batch.targets.iter().zip(words.rows.iter().zip(&words.right)).collect();
    for turn in rows.chunk_by(|(a, _), (b, _)| (a.sequence, a.turn) == (b.sequence, b.turn)) {
        let Some((first, _)) = turn.first() else { continue };
        let kind = batch.kinds.get(first.sequence as usize).copied().unwrap_or_default();
        let weight: f64 = turn.iter().map(|(target, _)| f64::from(target.weight)).sum();
        let loss = turn.iter().map(|(target, (loss, _))| f64::from(target.weight * **loss)).sum();
        let tally = Tally { loss, weight, turns: 0, exact: 0 };
        tallies.entry(kind.to_owned()).or_default().add(&tally);
        if first.turn > 0 {
            let exact = u64::from(turn.iter().all(|(_, (_, right))| **right));
            let tally = Tally { turns: 1, exact, ..tally };
            tallies.entry(format!("{kind}/{}", first.turn)).or_default().add(&tally);
        }
    }
    tallies
}
