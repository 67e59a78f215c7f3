//! One step: forward, loss, backward, update.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use loupe_mllm::model::{Qwen2_5Vl, Rotary};
use loupe_mllm::ops::{self, CrossEntropy, Term};

use crate::error::{Result, TrainError};
use crate::learn::batch::{Batch, Pictures, Target};
use crate::learn::dense::{DenseHead, DenseLoss};
use crate::learn::example::TRAITS;
use crate::learn::grads::Grads;
use crate::learn::log::Tally;
use crate::learn::optim::AdamW;
use crate::learn::params::Params;

/// A model under training.
pub struct Learner {
    /// What of its weights is trained.
    pub params: Params,
    /// The model over them.
    pub model: Qwen2_5Vl,
    /// The dense teacher's head and the weight of its loss, where there is one.
    pub dense: Option<(DenseHead, f64)>,
    /// The optimiser.
    pub optimiser: AdamW,
    /// Whether only what is between the decoder's layers is kept, and each computed again for its gradient: a third more
    /// time, and a fraction of the memory.
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

/// What a pass over a batch found.
pub struct Pass {
    /// Each target's surprise.
    pub words: CrossEntropy,
    /// The loss over the batch's targets.
    pub loss: f64,
    /// The dense teacher's share of the loss, unweighted.
    pub dense: Option<f64>,
    /// What it was told rightly: class and traits of cells.
    pub told: [Tally; 1 + TRAITS],
    /// Gradients of everything under training.
    pub grads: Grads,
}

/// What the decoder reads of a batch.
struct Inputs {
    /// `[b, t, hidden]`
    embeds: Tensor,
    rotary: Rotary,
    /// The dense teacher's loss, and what it is multiplied by in the whole.
    dense: Option<(DenseLoss, f64)>,
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

    /// Forward and backward over a batch: the loss is the sum of `term` over the batch's targets (as
    /// [`ops::linear_likelihood`] asks), and `share` of the dense teacher's.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    pub fn pass(&self, batch: &Batch, share: f64, term: impl Fn(usize, f32) -> Term + Sync) -> Result<Pass> {
        let inputs = self.inputs(batch, share)?;
        let dense = inputs.dense.as_ref().map(|(dense, _)| dense.loss.to_scalar::<f32>()).transpose()?;
        let dense = dense.map(|dense| f64::from(dense) * share);
        let told = inputs.dense.as_ref().map_or_else(Default::default, |(dense, _)| dense.told);
        let (words, grads) = match self.checkpointing {
            true => self.layer_by_layer(batch, &inputs, term)?,
            false => self.at_once(batch, &inputs, term)?,
        };
        let loss = f64::from(words.loss.to_scalar::<f32>()?);
        Ok(Pass { words, loss, dense, told, grads })
    }

    fn at_once(
        &self,
        batch: &Batch,
        inputs: &Inputs,
        term: impl Fn(usize, f32) -> Term + Sync,
    ) -> Result<(CrossEntropy, Grads)> {
        let hidden = self.model.forward(&inputs.embeds, &inputs.rotary, None)?;
        let words = likelihood(&self.model, self.temperature, batch, &hidden, term)?;
        let total = match &inputs.dense {
            Some((dense, weight)) => (&words.loss + (&dense.loss * *weight)?)?,
            None => words.loss.clone(),
        };
        let grads = Grads::of(&self.params.all(), &total.backward()?)?;
        Ok((words, grads))
    }

    /// The same, with the decoder's layers forgotten and computed again. Each layer's gradient is that of `y · slope`,
    /// where slope is the loss's gradient by its result y.
    fn layer_by_layer(
        &self,
        batch: &Batch,
        inputs: &Inputs,
        term: impl Fn(usize, f32) -> Term + Sync,
    ) -> Result<(CrossEntropy, Grads)> {
        let vars = self.params.all();
        let mut between = vec![inputs.embeds.detach()];
        for index in 0..self.model.layers() {
            let x = between.last().unwrap_or(&inputs.embeds);
            between.push(self.model.layer(index, x, &inputs.rotary)?.detach());
        }
        let last = Var::from_tensor(&between.pop().unwrap_or_else(|| inputs.embeds.detach()))?;
        let words = likelihood(&self.model, self.temperature, batch, &self.model.last_norm(&last)?, term)?;
        let store = words.loss.backward()?;
        let mut grads = Grads::of(&vars, &store)?;
        let mut slope = store.get(&last).cloned();
        for (index, x) in between.into_iter().enumerate().rev() {
            let Some(by_result) = slope.take() else { break };
            let x = Var::from_tensor(&x)?;
            let y = self.model.layer(index, &x, &inputs.rotary)?;
            let store = (y * by_result)?.sum_all()?.backward()?;
            grads.add(Grads::of(&vars, &store)?)?;
            slope = store.get(&x).cloned();
        }
        let through = match slope.filter(|_| inputs.embeds.track_op()) {
            Some(slope) => Some((&inputs.embeds * slope)?.sum_all()?),
            None => None,
        };
        let dense = inputs.dense.as_ref().map(|(dense, weight)| &dense.loss * *weight).transpose()?;
        for loss in through.iter().chain(&dense) {
            grads.add(Grads::of(&vars, &loss.backward()?)?)?;
        }
        Ok((words, grads))
    }

    fn inputs(&self, batch: &Batch, share: f64) -> Result<Inputs> {
        let (pictures, embeds) = embed(&self.model, batch)?;
        let dense = match (&self.dense, pictures) {
            (Some((head, weight)), Some(pictures)) if *weight > 0.0 && !batch.cells.is_empty() => {
                let loss = head.loss(&pictures, &batch.cell_places, &batch.cells)?;
                Some((loss, weight * share))
            }
            _ => None,
        };
        let length = batch.ids.dim(1)?;
        Ok(Inputs { embeds, rotary: self.model.rotary(&batch.positions, length)?, dense })
    }
}

/// How surprised a model whose logits are divided by `temperature` is by each of a batch's targets, in nats; nothing is
/// kept for gradients.
///
/// # Errors
/// When the batch does not fit the model.
pub fn surprises(model: &Qwen2_5Vl, batch: &Batch, temperature: f64) -> Result<CrossEntropy> {
    let (_, embeds) = embed(model, batch)?;
    let rotary = model.rotary(&batch.positions, batch.ids.dim(1)?)?;
    let mut x = embeds.detach();
    for index in 0..model.layers() {
        x = model.layer(index, &x, &rotary)?.detach();
    }
    likelihood(model, temperature, batch, &model.last_norm(&x)?.detach(), |_, _| Term::default())
}

/// Looks at a batch's pictures once for all passes to come, by models whose vision tower is this one's and is not trained.
///
/// # Errors
/// When they do not fit the model.
pub fn see(model: &Qwen2_5Vl, batch: &mut Batch) -> Result<()> {
    if let Some(Pictures::Patches(patches)) = &batch.pictures {
        batch.pictures = Some(Pictures::Seen(model.vision(patches, &batch.grids)?.detach()));
    }
    Ok(())
}

/// The pictures' embeddings `[tokens, hidden]`, and those of all tokens `[b, t, hidden]`.
fn embed(model: &Qwen2_5Vl, batch: &Batch) -> Result<(Option<Tensor>, Tensor)> {
    let (rows, length) = batch.ids.dims2()?;
    let words = model.embed(&batch.ids)?.flatten_to(1)?;
    let width = words.dim(1)?;
    let (pictures, embeds) = match (&batch.pictures, &batch.order) {
        (Some(pictures), Some(order)) => {
            let pictures = match pictures {
                Pictures::Patches(patches) => model.vision(patches, &batch.grids)?,
                Pictures::Seen(seen) => seen.clone(),
            };
            let embeds = Tensor::cat(&[&words, &pictures], 0)?.index_select(order, 0)?;
            (Some(pictures), embeds)
        }
        _ => (None, words),
    };
    Ok((pictures, embeds.reshape((rows, length, width))?))
}

/// The loss over a batch's targets, given the final hidden states `[b, t, hidden]`.
fn likelihood(
    model: &Qwen2_5Vl,
    temperature: f64,
    batch: &Batch,
    hidden: &Tensor,
    term: impl Fn(usize, f32) -> Term + Sync,
) -> Result<CrossEntropy> {
    let column = |f: fn(&Target) -> u32| batch.targets.iter().map(f).collect::<Vec<u32>>();
    let chosen = Tensor::new(column(|target| target.row), hidden.device())?;
    // Logits are linear in what they are read from, so dividing that divides them.
    let hidden = (hidden.flatten_to(1)?.index_select(&chosen, 0)? / temperature)?;
    Ok(ops::linear_likelihood(&hidden, model.output_weight(), &column(|target| target.id), term)?)
}

/// What the dense teacher was told: `cells` for the class, `cells/0` and so on for each trait.
fn cells(told: &[Tally; 1 + TRAITS]) -> impl Iterator<Item = (String, Tally)> {
    let name =
        |place: usize| place.checked_sub(1).map_or_else(|| "cells".into(), |sort| format!("cells/{sort}"));
    told.iter().enumerate().filter(|(_, told)| told.turns > 0).map(move |(place, told)| (name(place), *told))
}

/// Sums of losses by kind, and of exact turns by kind and turn.
fn tallies(batch: &Batch, words: &CrossEntropy) -> BTreeMap<String, Tally> {
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
