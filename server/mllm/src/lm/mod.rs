//! The language model as it decodes: many sequences in one step, keys and values in blocks that sequences share.
//!
//! [`crate::model`] defines the model for training and for the probe; this computes the same from the same weights,
//! without gradients and without a tensor per operation.
//!
//! - [`matrix`]: weight matrices as they are kept, and products with them.
//! - [`kv`]: keys and values in blocks.
//! - [`batch`]: the tokens of a step and whose they are.
//! - [`choice`]: how the next token is chosen, from [`tokens`] that may be.
//! - [`executor`]: what runs steps, here or on a GPU, and what comes of them.
//! - [`lora`]: what adapters add to the rows that use them.
//! - `layer`: one decoder layer.
//! - `attend`: attention over blocks.
//! - `rotary`: rotary embedding of single tokens.

mod attend;
pub mod batch;
pub mod choice;
pub mod executor;
pub mod kv;
mod layer;
pub mod lora;
pub mod matrix;
mod rotary;
pub mod tokens;

use candle_core::Result;

pub(crate) use attend::FEW as FEW_QUERIES;
pub use batch::{Batch, Input, Segment, Wanted, What};
pub use choice::{Choice, Draw};
pub use executor::{Executor, Next};
pub use kv::{BLOCK, BlockId, KvPool};
pub use lora::Lora;
pub(crate) use matrix::FEW as FEW_ROWS;
pub use matrix::Matrix;
pub use tokens::TokenSet;

use self::layer::Layer;
use self::lora::Adapted;
use self::rotary::Turns;
use crate::config::TextConfig;
use crate::ops::rows::{add, rms_norm};
use crate::weights::{Scope, Weights};

/// A language model with its weights.
#[derive(Debug)]
pub struct LanguageModel {
    config: TextConfig,
    /// `[vocab, hidden]`
    table: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// `[vocab, hidden]`; none where the embedding table serves.
    output: Option<Matrix>,
}

impl LanguageModel {
    /// Takes every weight that `text` asks for; where the output is `tied`, the embedding table is its projection.
    ///
    /// # Errors
    /// When a weight is missing, has another shape or cannot be read.
    pub fn load(text: &TextConfig, tied: bool, weights: &dyn Weights) -> crate::Result<Self> {
        let shape = [text.vocab_size, text.hidden_size];
        let scope = Scope::new(weights, "model");
        let table = scope.matrix("embed_tokens.weight", shape)?.compact();
        let layers = scope.below("layers");
        let layers =
            (0..text.layers).map(|i| Layer::load(text, &layers.below(i))).collect::<crate::Result<_>>()?;
        let norm = scope.vector("norm.weight", text.hidden_size)?;
        let output = if tied { None } else { Some(weights.matrix("lm_head.weight", shape)?.compact()) };
        Ok(Self { config: text.clone(), table, layers, norm, output })
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Bytes of weights that a step reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        let output = self.output.as_ref().unwrap_or(&self.table).bytes();
        self.layers.iter().map(Layer::bytes).sum::<usize>() + output
    }

    /// Room for `blocks` blocks of keys and values. Memory is taken as it is first written.
    #[must_use]
    pub fn new_pool(&self, blocks: usize) -> KvPool {
        KvPool::new(&self.config, blocks)
    }

    /// Writes the embedding of token `id` into `row`, `hidden` numbers.
    ///
    /// # Errors
    /// When the table does not hold the token.
    pub fn embed(&self, id: u32, row: &mut [f32]) -> Result<()> {
        if id as usize >= self.config.vocab_size || row.len() != self.config.hidden_size {
            candle_core::bail!("token {id} is not in a table of {} tokens", self.config.vocab_size);
        }
        self.table.copy_row(id as usize, row);
        Ok(())
    }

    /// The embeddings of a batch's tokens, `[tokens, hidden]`.
    fn embeddings(&self, batch: &Batch) -> Vec<f32> {
        let hidden = self.config.hidden_size;
        let mut x = vec![0.0; batch.len() * hidden];
        let mut given = batch.embeds.chunks_exact(hidden);
        for (input, row) in batch.inputs.iter().zip(x.chunks_exact_mut(hidden)) {
            match input {
                Input::Token(id) => self.table.copy_row(*id as usize, row),
                Input::Embedding => given.next().into_iter().for_each(|given| row.copy_from_slice(given)),
            }
        }
        x
    }

    /// Runs a step: appends the keys and values of all tokens of the batch to the pool and gives the scores
    /// `[wanted, vocab]` of the tokens after those that the batch names, in order.
    ///
    /// # Errors
    /// When the batch does not fit the model or the pool, or is abandoned in the middle of it.
    pub fn step(&self, batch: &Batch, pool: &mut KvPool) -> Result<Vec<f32>> {
        batch.check(&self.config, pool.blocks())?;
        let hidden = self.config.hidden_size;
        let turns = Turns::new(&self.config, &batch.positions);
        let adapted = Adapted::of(batch);
        let mut x = self.embeddings(batch);
        for (index, layer) in self.layers.iter().enumerate() {
            if batch.is_abandoned() {
                candle_core::bail!("nobody wants the step any more");
            }
            let mixed = layer.attention(&x, &turns, batch, &adapted, pool, index)?;
            add(&mut x, &mixed);
            let moved = layer.feed_forward(&x, &adapted, index)?;
            add(&mut x, &moved);
        }
        let mut last = Vec::with_capacity(batch.wanted.len() * hidden);
        for Wanted { token, .. } in &batch.wanted {
            last.extend_from_slice(&x[token * hidden..(token + 1) * hidden]);
        }
        let last = rms_norm(&last, &self.norm, self.config.rms_norm_eps);
        self.output.as_ref().unwrap_or(&self.table).product(&last, None)
    }
}
