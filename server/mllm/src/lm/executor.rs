//! What runs steps, here or on a GPU, and what comes of them.

use super::{Batch, KvPool, LanguageModel};
use crate::error::Result;

/// A language model with its keys and values, wherever they are.
pub trait Executor {
    /// Runs a step: appends the keys and values of all tokens of the batch, and scores what comes after those for which
    /// the batch wants it, in order.
    ///
    /// # Errors
    /// When the batch does not fit the model or its blocks, or a device fails.
    fn step(&mut self, batch: &Batch) -> Result<Scores>;
}

/// What may come after each token that was wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    vocab: usize,
    rows: Vec<Row>,
    /// Whole rows, `[.., vocab]`.
    values: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Whole,
    Best(Option<u32>),
}

/// What may come after a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next<'a> {
    /// Scores of all tokens.
    Scores(&'a [f32]),
    /// The likeliest token, of equals the first; none where a score is not finite.
    Best(Option<u32>),
}

impl Scores {
    /// Whole rows of `vocab` scores.
    #[must_use]
    pub fn whole(vocab: usize, values: Vec<f32>) -> Self {
        Self { vocab, rows: vec![Row::Whole; values.len() / vocab.max(1)], values }
    }

    /// Nothing yet.
    #[must_use]
    pub fn new(vocab: usize) -> Self {
        Self::whole(vocab, Vec::new())
    }

    /// Adds a row of scores, to be filled.
    pub fn push_whole(&mut self) -> &mut [f32] {
        self.rows.push(Row::Whole);
        let from = self.values.len();
        self.values.resize(from + self.vocab, 0.0);
        &mut self.values[from..]
    }

    /// Adds the likeliest token of a row.
    pub fn push_best(&mut self, best: Option<u32>) {
        self.rows.push(Row::Best(best));
    }

    /// Row by row.
    pub fn iter(&self) -> impl Iterator<Item = Next<'_>> {
        let mut whole = self.values.chunks_exact(self.vocab.max(1));
        self.rows.iter().map(move |row| match row {
            Row::Whole => Next::Scores(whole.next().unwrap_or_default()),
            Row::Best(best) => Next::Best(*best),
        })
    }
}

/// A language model on this machine's processor.
#[derive(Debug)]
pub struct OnCpu<'a> {
    language: &'a LanguageModel,
    pool: KvPool,
}

impl<'a> OnCpu<'a> {
    /// With room for `blocks` blocks.
    #[must_use]
    pub fn new(language: &'a LanguageModel, blocks: usize) -> Self {
        Self { language, pool: language.new_pool(blocks) }
    }
}

impl Executor for OnCpu<'_> {
    fn step(&mut self, batch: &Batch) -> Result<Scores> {
        Ok(Scores::whole(self.language.config().vocab_size, self.language.step(batch, &mut self.pool)?))
    }
}
