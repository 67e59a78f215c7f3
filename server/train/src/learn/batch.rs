//! Sequences put together: sorted by length in pools, cut by a budget of tokens, padded on the right.

use std::ops::Range;

use candle_core::{Device, Tensor};
use loupe_mllm::chat::Chat;
use loupe_mllm::config::vision::PATCH_VALUES;
use loupe_mllm::model::{Grid, Positions};
use serde::{Deserialize, Serialize};

use crate::atlas::rng::Rng;
use crate::error::Result;
use crate::learn::dense::Cell;
use crate::learn::example::ExampleSource;
use crate::learn::sequence::Sequence;

/// How examples are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRecipe {
    /// Most tokens of a batch, padding included.
    pub tokens: usize,
    /// Most pictures of a batch.
    pub pictures: usize,
    /// Longer examples are left out.
    pub max_length: usize,
    /// Examples that are sorted by length together.
    pub pool: u64,
}

impl BatchRecipe {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.pool == 0 || self.pictures == 0 || self.max_length < 2 || self.tokens < self.max_length {
            return Err("batch needs pool and pictures above 0 and tokens >= max_length >= 2".into());
        }
        Ok(())
    }
}

/// Where a run is in its stream of batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Pools used up.
    pub pool: u64,
    /// Batches used of the pool after them.
    pub batch: u64,
    /// Batches that this pool has; 0 while none of it is used.
    #[serde(default)]
    pub of: u64,
}

impl Place {
    /// Pools used up, with the part of the one after them.
    pub(crate) fn pools(self) -> f64 {
        let part = if self.of == 0 { 0.0 } else { self.batch as f64 / self.of as f64 };
        self.pool as f64 + part
    }
}

/// A token whose prediction counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Row of the flattened `[b * t]` hidden states that predicts it.
    pub row: u32,
    /// The token.
    pub id: u32,
    /// Loss weight.
    pub weight: f32,
    /// Which sequence of the batch it is in.
    pub sequence: u32,
    /// The assistant's turn that it belongs to, from 1; 0 elsewhere.
    pub turn: u16,
}

/// The pictures of a batch, one behind the other.
#[derive(Debug, Clone)]
pub enum Pictures {
    /// Patches `[patches, 1176]`.
    Patches(Tensor),
    /// What a vision tower that is not trained makes of them, `[tokens, hidden]`.
    Seen(Tensor),
}

/// What the model reads in one step.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The place after this batch.
    pub next: Place,
    /// Token ids `[b, t]`; 0 where padded.
    pub ids: Tensor,
    /// Rotary positions of each sequence.
    pub positions: Vec<Positions>,
    /// For each of the `b * t` tokens, its row in the words' embeddings with the pictures' behind them; none without
    /// pictures.
    pub order: Option<Tensor>,
    /// All pictures; none without.
    pub pictures: Option<Pictures>,
    /// The pictures' grids.
    pub grids: Vec<Grid>,
    /// Predictions that count.
    pub targets: Vec<Target>,
    /// Kind of each sequence.
    pub kinds: Vec<&'static str>,
    /// Rows of the vision embeddings that have labels.
    pub cell_places: Vec<u32>,
    /// Their labels.
    pub cells: Vec<Cell>,
    /// Tokens, padding left out.
    pub tokens: u64,
}

/// Makes the batches of one pool, in the order of the run. Examples that cannot be encoded or are too long are left
/// out with a warning.
///
/// # Errors
/// When an example cannot be read, or a tensor cannot be made.
pub fn pool(
    source: &dyn ExampleSource,
    chat: &Chat,
    recipe: &BatchRecipe,
    seed: u64,
    number: u64,
) -> Result<Vec<Batch>> {
    let mut sequences = Vec::new();
    for index in indices(recipe.pool, source.epoch(), number) {
        sequences.extend(short_enough(source, index, chat, recipe)?);
    }
    sequences.sort_by_key(|sequence| sequence.ids.len());
    let mut groups = groups(sequences, recipe);
    Rng::of(seed, "batches", number).shuffle(&mut groups);
    let last = groups.len();
    let next = |at: usize| match at + 1 {
        after if after == last => Place { pool: number + 1, ..Place::default() },
        after => Place { pool: number, batch: after as u64, of: last as u64 },
    };
    let batch = |(at, group): (usize, &Vec<Sequence>)| Batch::new(group, chat.image_token, next(at));
    Ok(groups.iter().enumerate().map(batch).collect::<candle_core::Result<_>>()?)
}

/// An example as the model reads it; none, with a warning, where it cannot be encoded or is too long.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn short_enough(
    source: &dyn ExampleSource,
    index: u64,
    chat: &Chat,
    recipe: &BatchRecipe,
) -> Result<Option<Sequence>> {
    let left_out = |reason: &dyn std::fmt::Display| {
        tracing::warn!("{} is left out: {reason}", source.name(index));
        Ok(None)
    };
    match Sequence::encode(&source.example(index)?, chat) {
        Ok(sequence) if sequence.ids.len() <= recipe.max_length => Ok(Some(sequence)),
        Ok(sequence) => left_out(&format!(
            "it has {} tokens, batch.max_length is {}",
            sequence.ids.len(),
            recipe.max_length
        )),
        Err(error) => left_out(&error),
    }
}

/// The examples of a pool. A pool ends where an epoch ends, so that every example is read once before any is again.
fn indices(pool: u64, epoch: Option<u64>, number: u64) -> Range<u64> {
    let Some(epoch) = epoch else { return number * pool..(number + 1) * pool };
    let pools = pools_of_epoch(pool, epoch);
    let (first, within) = (number / pools * epoch, number % pools * pool);
    first + within..first + (within + pool).min(epoch)
}

/// How many pools an epoch of so many examples is.
pub(crate) fn pools_of_epoch(pool: u64, epoch: u64) -> u64 {
    epoch.div_ceil(pool).max(1)
}

/// Cuts sequences, sorted by length, where a batch is full.
pub(crate) fn groups(sequences: Vec<Sequence>, recipe: &BatchRecipe) -> Vec<Vec<Sequence>> {
    let mut groups: Vec<Vec<Sequence>> = Vec::new();
    let mut pictures = 0;
    for sequence in sequences {
        let more = sequence.grids.len();
        let fits = |group: &Vec<Sequence>| {
            (group.len() + 1) * sequence.ids.len() <= recipe.tokens && pictures + more <= recipe.pictures
        };
        match groups.last_mut().filter(|group| fits(group)) {
            Some(group) => {
                pictures += more;
                group.push(sequence);
            }
            None => {
                pictures = more;
                groups.push(vec![sequence]);
            }
        }
    }
    groups
}

impl Batch {
    /// Puts sequences together.
    ///
    /// # Errors
    /// When a tensor cannot be made.
    pub fn new(sequences: &[Sequence], image_token: u32, next: Place) -> candle_core::Result<Self> {
        let length = sequences.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(sequences.len() * length);
        for sequence in sequences {
            ids.extend(&sequence.ids);
            ids.resize(ids.len().next_multiple_of(length.max(1)), 0);
        }
        let order = picture_order(&ids, image_token);
        let patches: Vec<f32> = sequences.iter().flat_map(|sequence| &sequence.patches).copied().collect();
        let (cell_places, cells) = labels(sequences);
        let cpu = &Device::Cpu;
        let rows = patches.len() / PATCH_VALUES;
        Ok(Self {
            next,
            order: (rows > 0).then(|| Tensor::new(order, cpu)).transpose()?,
            ids: Tensor::from_vec(ids, (sequences.len(), length), cpu)?,
            positions: sequences.iter().map(|sequence| sequence.positions.clone()).collect(),
            pictures: (rows > 0)
                .then(|| Tensor::from_vec(patches, (rows, PATCH_VALUES), cpu).map(Pictures::Patches))
                .transpose()?,
            grids: sequences.iter().flat_map(|sequence| sequence.grids.iter().copied()).collect(),
            targets: targets(sequences, length),
            kinds: sequences.iter().map(|sequence| sequence.kind).collect(),
            cell_places,
            cells,
            tokens: sequences.iter().map(|sequence| sequence.ids.len() as u64).sum(),
        })
    }
}

/// Rows of `[words; pictures]` in the order of the tokens.
fn picture_order(ids: &[u32], image_token: u32) -> Vec<u32> {
    let mut next = ids.len() as u32;
    (0u32..)
        .zip(ids)
        .map(|(at, id)| {
            if *id != image_token {
                return at;
            }
            next += 1;
            next - 1
        })
        .collect()
}

fn targets(sequences: &[Sequence], length: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for (number, sequence) in (0u32..).zip(sequences) {
        for (at, weight) in sequence.weights.iter().enumerate().skip(1) {
            if *weight > 0.0 {
                targets.push(Target {
                    row: number * length as u32 + at as u32 - 1,
                    id: sequence.ids[at],
                    weight: *weight,
                    sequence: number,
                    turn: sequence.turns[at],
                });
            }
        }
    }
    targets
}

/// Places and labels of the cells of labelled pictures among all vision embeddings.
fn labels(sequences: &[Sequence]) -> (Vec<u32>, Vec<Cell>) {
    let (mut places, mut cells, mut start) = (Vec::new(), Vec::new(), 0u32);
    for sequence in sequences {
        places.extend(start..start + sequence.cells.len() as u32);
        cells.extend(&sequence.cells);
        start += sequence.grids.iter().map(|grid| grid.tokens() as u32).sum::<u32>();
    }
    (places, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_ends_where_an_epoch_ends() {
        let pools: Vec<_> = (0..5).map(|number| indices(8, Some(20), number)).collect();
        assert_eq!(pools, [0..8, 8..16, 16..20, 20..28, 28..36]);
        assert_eq!([0, 2].map(|number| indices(128, Some(20), number)), [0..20, 40..60]);
        assert_eq!(indices(8, None, 3), 24..32);
    }
}
