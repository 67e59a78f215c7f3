//! One step: forward, loss, backward, update.

use std::collections::BTreeMap;

use candle_core::Tensor;
use loupe_mllm::model::Qwen2_5Vl;
use loupe_mllm::ops;

use crate::batch::{Batch, Target};
use crate::dense::DenseHead;
use crate::error::{Result, TrainError};
use crate::log::Tally;
use crate::optim::AdamW;
use crate::params::Params;

/// A model under training.
pub struct Learner {
    /// Its weights.
    pub params: Params,
    /// The model over them.
    pub model: Qwen2_5Vl,
    /// The dense teacher's head.
    pub head: DenseHead,
    /// Weight of the dense teacher's loss.
    pub dense_weight: f64,
    /// The optimiser.
    pub optimiser: AdamW,
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

struct Losses {
    words: ops::CrossEntropy,
    dense: Option<Tensor>,
}

impl Learner {
    /// Learns from a batch with learning rate `rate`; `step` is for messages.
    ///
    /// # Errors
    /// When the batch does not fit the model, or loss or gradients are not finite; the weights are unchanged then.
    pub fn step(&mut self, batch: &Batch, rate: f64, step: u64) -> Result<StepReport> {
        let losses = self.losses(batch)?;
        let loss = f64::from(losses.words.loss.to_scalar::<f32>()?);
        let dense = losses.dense.as_ref().map(Tensor::to_scalar::<f32>).transpose()?.map(f64::from);
        let total = match &losses.dense {
            Some(dense) => (&losses.words.loss + (dense * self.dense_weight)?)?,
            None => losses.words.loss.clone(),
        };
        if !(loss.is_finite() && dense.is_none_or(f64::is_finite)) {
            return Err(TrainError::NotFinite { step, what: "loss" });
        }
        let grads = total.backward()?;
        let grad_norm = self.optimiser.step(&self.params.all(), &grads, rate)?;
        if !grad_norm.is_finite() {
            return Err(TrainError::NotFinite { step, what: "gradient" });
        }
        let kinds = tallies(batch, &losses.words);
        Ok(StepReport { loss, dense, grad_norm, kinds })
    }

    fn losses(&self, batch: &Batch) -> Result<Losses> {
        let (rows, length) = batch.ids.dims2()?;
        let words = self.model.embed(&batch.ids)?.flatten_to(1)?;
        let width = words.dim(1)?;
        let (embeds, dense) = match (&batch.patches, &batch.order) {
            (Some(patches), Some(order)) => {
                let pictures = self.model.vision(patches, &batch.grids)?;
                let dense = match batch.cells.is_empty() || self.dense_weight == 0.0 {
                    true => None,
                    false => Some(self.head.loss(&pictures, &batch.cell_places, &batch.cells)?.loss),
                };
                (Tensor::cat(&[words, pictures], 0)?.index_select(order, 0)?, dense)
            }
            _ => (words, None),
        };
        let rotary = self.model.rotary(&batch.positions, length)?;
        let hidden = self.model.forward(&embeds.reshape((rows, length, width))?, &rotary, None)?;
        let column = |f: fn(&Target) -> u32| batch.targets.iter().map(f).collect::<Vec<u32>>();
        let chosen = Tensor::new(column(|target| target.row), hidden.device())?;
        let hidden = hidden.reshape((rows * length, width))?.index_select(&chosen, 0)?;
        let weights: Vec<f32> = batch.targets.iter().map(|target| target.weight).collect();
        let ids = column(|target| target.id);
        let words = ops::linear_cross_entropy(&hidden, self.model.output_weight(), &ids, &weights)?;
        Ok(Losses { words, dense })
    }
}

/// Sums of losses by kind, and of exact turns by kind and turn.
fn tallies(batch: &Batch, words: &ops::CrossEntropy) -> BTreeMap<String, Tally> {
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
