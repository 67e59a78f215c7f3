//! Forward and backward over a batch.

use candle_core::{Tensor, Var};
use loupe_mllm::model::{Qwen2_5Vl, Rotary};
use loupe_mllm::ops::{self, CrossEntropy, Term};
use loupe_mllm::tuning::Foretold;

use crate::error::Result;
use crate::learn::batch::{Batch, Pictures, Target};
use crate::learn::dense::DenseLoss;
use crate::learn::example::TRAITS;
use crate::learn::grads::Grads;
use crate::learn::lanes;
use crate::learn::log::Tally;
use crate::learn::machine::{Machine, on_gpu};
use crate::learn::step::Learner;

/// What a pass over a batch found.
pub struct Pass {
    /// Of its targets.
    pub words: Foretold,
    /// The loss over the batch's targets.
    pub loss: f64,
    /// The dense teacher's share of the loss, unweighted.
    pub dense: Option<f64>,
    /// What it was told rightly: class and traits of cells.
    pub told: [Tally; 1 + TRAITS],
    /// Gradients of everything under training.
    pub grads: Grads,
}

impl Pass {
    /// With what another pass found over the rows behind.
    fn and(mut self, rest: Self) -> Result<Self> {
        for (told, more) in self.told.iter_mut().zip(&rest.told) {
            told.add(more);
        }
        self.grads.add(rest.grads)?;
        let dense = self.dense.into_iter().chain(rest.dense).reduce(|a, b| a + b);
        Ok(Self { words: self.words.and(rest.words), loss: self.loss + rest.loss, dense, ..self })
    }
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
    /// Forward and backward over a batch: the loss is the sum of `term` over the batch's targets (as
    /// [`ops::linear_likelihood`] asks), and `share` of the dense teacher's. On the CPU the two halves of a batch are
    /// computed side by side.
    ///
    /// # Errors
    /// When the batch does not fit the model, or the GPU fails.
    pub fn pass(&self, batch: &Batch, share: f64, term: impl Fn(usize, f32) -> Term + Sync) -> Result<Pass> {
        let model = match &self.model {
            Machine::Cpu(model) => model,
            Machine::Gpu(tuner) => return on_gpu::pass(&**tuner, batch, self.temperature, &term),
        };
        let Some([front, back]) = batch.halves()? else { return self.whole(model, batch, share, term) };
        // The dense teacher's loss is a mean over cells.
        let cells = share / batch.cells.len().max(1) as f64;
        let rows = front.targets.len();
        let (first, second) = lanes::both(
            || self.whole(model, &front, cells * front.cells.len() as f64, &term),
            || {
                let share = cells * back.cells.len() as f64;
                self.whole(model, &back, share, |row, surprise| term(rows + row, surprise))
            },
        );
        first?.and(second?)
    }

    fn whole(
        &self,
        model: &Qwen2_5Vl,
        batch: &Batch,
        share: f64,
        term: impl Fn(usize, f32) -> Term + Sync,
    ) -> Result<Pass> {
        let inputs = self.inputs(model, batch, share)?;
        let dense = inputs.dense.as_ref().map(|(dense, _)| dense.loss.to_scalar::<f32>()).transpose()?;
        let dense = dense.map(|dense| f64::from(dense) * share);
        let told = inputs.dense.as_ref().map_or_else(Default::default, |(dense, _)| dense.told);
        let (words, grads) = match self.checkpointing {
            true => self.layer_by_layer(model, batch, &inputs, term)?,
            false => self.at_once(model, batch, &inputs, term)?,
        };
        let loss = f64::from(words.loss.to_scalar::<f32>()?);
        Ok(Pass { words: words.into(), loss, dense, told, grads })
    }

    fn at_once(
        &self,
        model: &Qwen2_5Vl,
        batch: &Batch,
        inputs: &Inputs,
        term: impl Fn(usize, f32) -> Term + Sync,
    ) -> Result<(CrossEntropy, Grads)> {
        let hidden = model.forward(&inputs.embeds, &inputs.rotary, None)?;
        let words = likelihood(model, self.temperature, batch, &hidden, term)?;
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
        model: &Qwen2_5Vl,
        batch: &Batch,
        inputs: &Inputs,
        term: impl Fn(usize, f32) -> Term + Sync,
    ) -> Result<(CrossEntropy, Grads)> {
        let vars = self.params.all();
        let mut between = vec![inputs.embeds.detach()];
        for index in 0..model.layers() {
            let x = between.last().unwrap_or(&inputs.embeds);
            between.push(model.layer(index, x, &inputs.rotary)?.detach());
        }
        let last = Var::from_tensor(&between.pop().unwrap_or_else(|| inputs.embeds.detach()))?;
        let words = likelihood(model, self.temperature, batch, &model.last_norm(&last)?, term)?;
        let store = words.loss.backward()?;
        let mut grads = Grads::of(&vars, &store)?;
        let mut slope = store.get(&last).cloned();
        for (index, x) in between.into_iter().enumerate().rev() {
            let Some(by_result) = slope.take() else { break };
            let x = Var::from_tensor(&x)?;
            let y = model.layer(index, &x, &inputs.rotary)?;
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

    fn inputs(&self, model: &Qwen2_5Vl, batch: &Batch, share: f64) -> Result<Inputs> {
        let (pictures, embeds) = embed(model, batch)?;
        let dense = match (&self.dense, pictures) {
            (Some((head, weight)), Some(pictures)) if *weight > 0.0 && !batch.cells.is_empty() => {
                let loss = head.loss(&pictures, &batch.cell_places, &batch.cells)?;
                Some((loss, weight * share))
            }
            _ => None,
        };
        let length = batch.ids.dim(1)?;
        Ok(Inputs { embeds, rotary: model.rotary(&batch.positions, length)?, dense })
    }
}

/// How well a model whose logits are divided by `temperature` foretells a batch's targets; nothing is kept for gradients.
pub(super) fn foretold(model: &Qwen2_5Vl, batch: &Batch, temperature: f64) -> Result<Foretold> {
    let Some([front, back]) = batch.halves()? else { return foretold_whole(model, batch, temperature) };
    let (first, second) = lanes::both(
        || foretold_whole(model, &front, temperature),
        || foretold_whole(model, &back, temperature),
    );
    Ok(first?.and(second?))
}

fn foretold_whole(model: &Qwen2_5Vl, batch: &Batch, temperature: f64) -> Result<Foretold> {
    let (_, embeds) = embed(model, batch)?;
    let rotary = model.rotary(&batch.positions, batch.ids.dim(1)?)?;
    let mut x = embeds.detach();
    for index in 0..model.layers() {
        x = model.layer(index, &x, &rotary)?.detach();
    }
    let hidden = model.last_norm(&x)?.detach();
    Ok(likelihood(model, temperature, batch, &hidden, |_, _| Term::default())?.into())
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
