//! Pairs (LoRA) trained beside a decoder whose weights stay as they are. Only what is between the layers is kept; each layer
//! is computed again for its gradient. Weights and what is multiplied are bf16, sums, the stream and its gradient f32.
//!
//! - `pairs`: the pairs and their gradients.
//! - `attend`: attention and its gradient.
//! - `pass`: a batch through the layers and back.
//! - `head`: the surprises of targets, and their gradient.
//! - `space`: where intermediate values lie.
//! - [`kernels`]: how the kernels of tuning are launched.

mod attend;
mod head;
pub mod kernels;
mod pairs;
mod pass;
mod space;

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use half::bf16;

use self::pairs::Pairs;
use self::pass::Pass;
use self::space::{Size, Space};
use super::gpu::{Address, Gpu};
use super::kernels::{Heads, SOURCE};
use super::language::heads;
use super::loader;
use super::vision::Vision;
use crate::config::{ModelConfig, TextConfig};
use crate::error::Result;
use crate::model::Grid;
use crate::ops::Term;
use crate::tuning::{Foretold, Learnt, Reading, Tuner};
use crate::weights::Weights;

/// A model under tuning.
#[derive(Debug)]
pub struct Tuning<G: Gpu> {
    vision: Mutex<Vision<G>>,
    decoder: Mutex<Decoder<G>>,
}

/// A decoder with pairs beside its maps.
#[derive(Debug)]
struct Decoder<G: Gpu> {
    gpu: G,
    program: G::Program,
    config: TextConfig,
    heads: Heads,
    weights: loader::Decoder<G::Memory>,
    pairs: Pairs,
}

impl<G: Gpu> Tuning<G> {
    /// Takes every weight that `config` asks for; the vision tower and the decoder have a GPU, or a stream of one, each.
    ///
    /// # Errors
    /// When the kernels do not fit the model, a weight cannot be read, or memory does not suffice.
    pub fn load([eye, gpu]: [G; 2], config: &ModelConfig, weights: &dyn Weights) -> Result<Self> {
        let text = &config.text;
        let heads = heads(text)?;
        let decoder = Decoder {
            program: gpu.program(SOURCE, &heads.defines())?,
            config: text.clone(),
            heads,
            weights: loader::Decoder::load(&gpu, text, config.tied, weights)?,
            pairs: Pairs::of(text, weights)?,
            gpu,
        };
        let vision = Vision::load(eye, &config.vision, weights)?;
        Ok(Self { vision: Mutex::new(vision), decoder: Mutex::new(decoder) })
    }
}

impl<G: Gpu> Decoder<G> {
    fn pass<T>(
        &self,
        reading: &Reading,
        (with_pairs, learns): (bool, bool),
        work: impl FnOnce(&Pass<G>) -> Result<T>,
    ) -> Result<T> {
        reading.check(self.config.vocab_size, self.config.hidden_size)?;
        let brought = with_pairs.then(|| self.pairs.bring(&self.gpu, learns)).transpose()?;
        let rank = if with_pairs { self.pairs.rank } else { 0 };
        let size = Size { rank, drops: with_pairs && self.pairs.drops(), learns, ..Size::of(reading) };
        let bytes = Space::new(Address::NULL, &self.config, &size).bytes;
        let memory = self.gpu.zeroed(bytes)?;
        work(&Pass::begin(self, reading, &size, &memory, brought.as_ref())?)
    }
}

impl<G> Tuner for Tuning<G>
where
    G: Gpu + Send,
    G::Memory: Send,
    G::Program: Send,
    G::Graph: Send,
{
    fn taken(&self) -> Result<u64> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner).gpu.taken()
    }

    fn see(&self, patches: &Tensor, grids: &[Grid]) -> Result<Vec<f32>> {
        let patches: Vec<f32> = patches.flatten_all()?.to_vec1()?;
        self.vision.lock().unwrap_or_else(PoisonError::into_inner).see(&patches, grids)
    }

    fn foretell(&self, reading: &Reading, with_pairs: bool) -> Result<Foretold> {
        let decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.pass(reading, (with_pairs, false), |pass| {
            pass.foretell(&|_, _| Term::default()).map(|(words, _)| words)
        })
    }

    fn learn(&self, reading: &Reading, term: &dyn Fn(usize, f32) -> Term) -> Result<Learnt> {
        let decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.pass(reading, (true, true), |pass| pass.learn(term))
    }
}

/// Bytes of a GPU's memory that tuning takes: the model with its pairs, and a pass over a batch of so many tokens in
/// sequences of up to `longest`.
#[must_use]
pub fn memory(config: &ModelConfig, rank: usize, trained: u64, [tokens, longest]: [usize; 2]) -> [u64; 2] {
    // The pairs are there in bf16, their gradients in f32.
    let [narrow, wide] = [size_of::<bf16>(), size_of::<f32>()].map(|bytes| bytes as u64);
    let (text, weights) = (&config.text, config.parameters() * narrow + trained * (narrow + wide));
    let size = Size {
        rows: tokens,
        longest,
        targets: tokens,
        given: tokens * text.hidden_size,
        rank,
        drops: false,
        learns: true,
    };
    [weights, Space::new(Address::NULL, text, &size).bytes as u64]
}
