//! Passes on a GPU: a batch without its padding, and gradients by name.

use candle_core::Tensor;
use loupe_mllm::lm::Input;
use loupe_mllm::ops::Term;
use loupe_mllm::tuning::{Learnt, Reading, Tuner};

use crate::error::Result;
use crate::learn::batch::{Batch, Pictures};
use crate::learn::grads::Grads;
use crate::learn::init::{LORA_A, LORA_B};
use crate::learn::log::Tally;
use crate::learn::pass::Pass;

/// Forward and backward; see [`crate::learn::step::Learner::pass`].
pub(in crate::learn) fn pass(
    tuner: &dyn Tuner,
    batch: &Batch,
    temperature: f64,
    term: &dyn Fn(usize, f32) -> Term,
) -> Result<Pass> {
    let Learnt { words, loss, grads } = tuner.learn(&reading(tuner, batch, temperature)?, term)?;
    let named = grads.into_iter().flat_map(|(module, halves)| {
        [LORA_A, LORA_B].into_iter().zip(halves).map(move |(end, half)| (format!("{module}{end}"), half))
    });
    let told = std::array::from_fn(|_| Tally::default());
    Ok(Pass { words, loss, dense: None, told, grads: Grads::named(named) })
}

/// A batch as a GPU reads it.
pub(super) fn reading(tuner: &dyn Tuner, batch: &Batch, temperature: f64) -> Result<Reading> {
    let (rows, length) = batch.ids.dims2()?;
    let padded = batch.ids.flatten_all()?.to_vec1::<u32>()?;
    let order = batch.order.as_ref().map(Tensor::to_vec1::<u32>).transpose()?;
    let mut reading = Reading { temperature: temperature as f32, ..Reading::default() };
    let mut starts = Vec::with_capacity(rows);
    for (row, positions) in batch.positions.iter().enumerate() {
        starts.push(reading.inputs.len() as u32);
        for at in 0..positions.len() {
            let place = row * length + at;
            // Behind the words are the pictures' tokens, in the order in which they are read.
            let is_picture = order.as_ref().is_some_and(|order| order[place] as usize >= padded.len());
            reading.inputs.push(if is_picture { Input::Embedding } else { Input::Token(padded[place]) });
            reading.positions.push([0, 1, 2].map(|axis: usize| positions.rows()[axis][at]));
        }
        reading.lengths.push(positions.len());
    }
    let place = |row: u32, sequence: u32| starts[sequence as usize] + row - sequence * length as u32;
    reading.targets = batch.targets.iter().map(|to| (place(to.row, to.sequence), to.id)).collect();
    reading.embeds = match &batch.pictures {
        Some(Pictures::Patches(patches)) => tuner.see(patches, &batch.grids)?,
        Some(Pictures::Seen(seen)) => seen.flatten_all()?.to_vec1()?,
        None => Vec::new(),
    };
    Ok(reading)
}
