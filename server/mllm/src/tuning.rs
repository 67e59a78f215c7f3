//! Tuning pairs beside a decoder that stays as it is, where passes are not computed with candle: on a GPU.

use std::fmt::Debug;

use candle_core::Tensor;

use crate::config::ModelConfig;
use crate::device::Processor;
use crate::error::{Error, Result};
use crate::lm::Input;
use crate::model::Grid;
use crate::ops::{CrossEntropy, Term};
use crate::weights::Weights;

/// Most tokens of a pass.
const MOST_TOKENS: usize = 65_535;

/// What a decoder reads in a pass: sequences one behind the other, without padding.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// What each token is.
    pub inputs: Vec<Input>,
    /// The embeddings of those that are given, `[.., hidden]`.
    pub embeds: Vec<f32>,
    /// Time, row and column of each token.
    pub positions: Vec<[u32; 3]>,
    /// Tokens of each sequence.
    pub lengths: Vec<usize>,
    /// Tokens that are foretold: the place that foretells each, and which it is. No place foretells two.
    pub targets: Vec<(u32, u32)>,
    /// What scores are divided by.
    pub temperature: f32,
}

impl Reading {
    /// The longest sequence.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Checks that everything is inside a model.
    ///
    /// # Errors
    /// Says what is not.
    pub(crate) fn check(&self, vocab: usize, hidden: usize) -> Result<()> {
        let refused = |what: String| Err(Error::Device(format!("a batch does not fit the model: {what}")));
        let tokens = self.inputs.len();
        if tokens == 0 || self.positions.len() != tokens || self.lengths.iter().sum::<usize>() != tokens {
            let [positions, lengths] = [self.positions.len(), self.lengths.iter().sum()];
            return refused(format!("{tokens} tokens, {positions} positions, {lengths} in sequences"));
        }
        // Kernels count the numbers of a layer in an int.
        if tokens > MOST_TOKENS {
            return refused(format!(
                "{tokens} tokens; a GPU takes {MOST_TOKENS} at once, so make the batch smaller"
            ));
        }
        let given = self.inputs.iter().filter(|input| **input == Input::Embedding).count();
        if self.embeds.len() != given * hidden {
            return refused(format!("{} values for {given} embeddings of {hidden}", self.embeds.len()));
        }
        let ids = self.inputs.iter().filter_map(|input| match input {
            Input::Token(id) => Some(*id),
            Input::Embedding => None,
        });
        let targets = self.targets.iter().map(|(_, id)| *id);
        if let Some(id) = ids.chain(targets).find(|id| *id as usize >= vocab) {
            return refused(format!("token {id} is not one of {vocab}"));
        }
        let mut is_taken = vec![false; tokens];
        for (place, _) in &self.targets {
            match is_taken.get_mut(*place as usize) {
                None => return refused(format!("place {place} is not one of {tokens}")),
                Some(true) => return refused(format!("place {place} foretells two tokens")),
                Some(free) => *free = true,
            }
        }
        Ok(())
    }
}

/// How well a batch's targets were foretold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foretold {
    /// Each target's surprise in nats.
    pub rows: Vec<f32>,
    /// Whether it is the likeliest token.
    pub right: Vec<bool>,
}

impl Foretold {
    /// With the targets of the rows behind.
    #[must_use]
    pub fn and(mut self, rest: Self) -> Self {
        self.rows.extend(rest.rows);
        self.right.extend(rest.right);
        self
    }
}

impl From<CrossEntropy> for Foretold {
    fn from(CrossEntropy { rows, right, .. }: CrossEntropy) -> Self {
        Self { rows, right }
    }
}

/// What a pass with gradients found.
#[derive(Debug, Clone, Default)]
pub struct Learnt {
    /// Of the targets.
    pub words: Foretold,
    /// The sum of their terms.
    pub loss: f64,
    /// The gradients of each map's pair, A `[rank, inputs]` and B `[outputs, rank]`, f32 on the CPU.
    pub grads: Vec<(String, [Tensor; 2])>,
}

/// A decoder with pairs beside it, and the vision tower before it. The pairs' numbers are read anew in every pass.
pub trait Tuner: Debug + Send + Sync {
    /// The most bytes of its memory that were taken, by whomever, as far as the GPU tells.
    ///
    /// # Errors
    /// When the GPU fails.
    fn taken(&self) -> Result<u64>;

    /// The embeddings `[tokens, hidden]` of pictures: patches are `[patches, 1176]`.
    ///
    /// # Errors
    /// When the grids do not add up to the patches, or the GPU fails; so for all of these.
    fn see(&self, patches: &Tensor, grids: &[Grid]) -> Result<Vec<f32>>;

    /// How well the targets are foretold, with the pairs or by the decoder alone.
    ///
    /// # Errors
    /// When the batch does not fit, or the GPU fails.
    fn foretell(&self, reading: &Reading, with_pairs: bool) -> Result<Foretold>;

    /// The same, with the gradients of a loss that is a sum over targets of a function of their surprise.
    ///
    /// # Errors
    /// When the batch does not fit, or the GPU fails.
    fn learn(&self, reading: &Reading, term: &dyn Fn(usize, f32) -> Term) -> Result<Learnt>;
}

/// Whether a GPU can be used.
///
/// # Errors
/// Says why not.
pub fn is_there(on: Processor) -> Result<()> {
    match on {
        #[cfg(feature = "cuda")]
        Processor::Cuda(number) => crate::cuda::driver::Driver::open(number).map(drop),
        #[cfg(not(feature = "cuda"))]
        Processor::Cuda(_) => Err(crate::device::without_cuda()),
        Processor::Cpu => Ok(()),
    }
}

/// Opens a model for tuning on a GPU; [`Weights::beside`] says which maps have pairs.
///
/// # Errors
/// When there is no such GPU, a weight cannot be read, or memory does not suffice.
pub fn open(on: Processor, config: &ModelConfig, weights: &dyn Weights) -> Result<Box<dyn Tuner>> {
    match on {
        #[cfg(feature = "cuda")]
        Processor::Cuda(number) => {
            let open = || crate::cuda::driver::Driver::open(number);
            Ok(Box::new(crate::cuda::tune::Tuning::load([open()?, open()?], config, weights)?))
        }
        #[cfg(not(feature = "cuda"))]
        Processor::Cuda(_) => {
            let _ = (config, weights);
            Err(crate::device::without_cuda())
        }
        Processor::Cpu => Err(Error::Device("on the CPU a model is tuned as it is defined".into())),
    }
}
