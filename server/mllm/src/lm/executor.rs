//! What runs steps, here or on a GPU, and what comes of them.

use rayon::prelude::*;

use super::batch::{Batch, What};
use super::{KvPool, LanguageModel};
use crate::error::Result;

/// A language model with its keys and values, wherever they are.
pub trait Executor {
    /// Runs a step: appends the keys and values of all tokens of the batch, and gives what the batch wants of those that
    /// come after, in order.
    ///
    /// # Errors
    /// When the batch does not fit the model or its blocks, or a device fails.
    fn step(&mut self, batch: &Batch) -> Result<Vec<Next>>;

    /// The same with the drafter's weights, to guess what a step will give: none where there is no drafter. The keys and
    /// values that it leaves are the drafter's; the step that tries the guess writes its own in their place.
    ///
    /// # Errors
    /// As for [`Executor::step`].
    fn draft(&mut self, _batch: &Batch) -> Result<Option<Vec<Next>>> {
        Ok(None)
    }
}

/// What comes after a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Scores of all tokens.
    Scores(Vec<f32>),
    /// The token that was chosen; see [`Choice::of`](super::Choice::of).
    Token(Option<u32>),
}

/// A language model on this machine's processor.
#[derive(Debug)]
pub struct OnCpu<'a> {
    language: &'a LanguageModel,
    drafter: Option<&'a LanguageModel>,
    pool: KvPool,
}

impl<'a> OnCpu<'a> {
    /// With room for `blocks` blocks. The drafter has the same shape.
    #[must_use]
    pub fn new(language: &'a LanguageModel, drafter: Option<&'a LanguageModel>, blocks: usize) -> Self {
        Self { language, drafter, pool: language.new_pool(blocks) }
    }
}

impl Executor for OnCpu<'_> {
    fn step(&mut self, batch: &Batch) -> Result<Vec<Next>> {
        step(self.language, batch, &mut self.pool)
    }

    fn draft(&mut self, batch: &Batch) -> Result<Option<Vec<Next>>> {
        self.drafter.map(|drafter| step(drafter, batch, &mut self.pool)).transpose()
    }
}

fn step(language: &LanguageModel, batch: &Batch, pool: &mut KvPool) -> Result<Vec<Next>> {
    // By one of the threads that compute: any other would be put to sleep and woken up for each of a step's products.
    rayon::scope(|_| {
        let scores = language.step(batch, pool)?;
        let rows = scores.par_chunks_exact(language.config().vocab_size);
        let next = batch.wanted.par_iter().zip(rows).map(|(wanted, scores)| match &wanted.what {
            What::Scores => Next::Scores(scores.to_vec()),
            What::Token(choice) => Next::Token(choice.of(scores)),
        });
        Ok(next.collect())
    })
}
