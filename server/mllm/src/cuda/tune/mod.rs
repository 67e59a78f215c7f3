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
use super::gpu::{Address, Gpu, Memory};
use super::kernels::{Heads, SOURCE};
use super::language::heads;
use super::loader;
use super::vision::{self, Vision};
use crate::config::vision::{MERGE, PATCH_VALUES};
use crate::config::{ModelConfig, TextConfig};
use crate::error::Result;
use crate::model::Grid;
use crate::ops::Term;
use crate::tuning::{Foretold, Learnt, Reading, Tuner};
use crate::weights::Weights;

/// Patches that are seen at once, unless a single picture has more.
const PATCHES: usize = 16_384;

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
    /// For the intermediate values of a pass, with its size.
    space: Option<(G::Memory, usize)>,
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
            space: None,
            gpu,
        };
        let vision = Vision::load(eye, &config.vision, weights)?;
        Ok(Self { vision: Mutex::new(vision), decoder: Mutex::new(decoder) })
    }
}

impl<G: Gpu> Decoder<G> {
    fn pass<T>(
        &mut self,
        reading: &Reading,
        (with_pairs, learns): (bool, bool),
        work: impl FnOnce(&Pass<G>) -> Result<T>,
    ) -> Result<T> {
        reading.check(self.config.vocab_size, self.config.hidden_size)?;
        let brought = with_pairs.then(|| self.pairs.bring(&self.gpu, learns)).transpose()?;
        let rank = if with_pairs { self.pairs.rank } else { 0 };
        let size = Size { rank, drops: with_pairs && self.pairs.drops(), learns, ..Size::of(reading) };
        let base = self.room(Space::new(Address::NULL, &self.config, &size).bytes)?;
        work(&Pass::begin(self, reading, &size, base, brought.as_ref())?)
    }

    /// Room for a pass. It only grows: the driver's pool does not give back what pieces of many sizes leave between them.
    fn room(&mut self, bytes: usize) -> Result<Address> {
        if self.space.as_ref().is_none_or(|(_, size)| *size < bytes) {
            self.space = None;
            self.space = Some((self.gpu.zeroed(bytes)?, bytes));
        }
        Ok(self.space.as_ref().map_or(Address::NULL, |(memory, _)| memory.address()))
    }
}

impl<G> Tuner for Tuning<G>
where
    G: Gpu<Memory: Send, Program: Send, Graph: Send> + Send,
{
    fn taken(&self) -> Result<u64> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner).gpu.taken()
    }

    fn see(&self, patches: &Tensor, grids: &[Grid]) -> Result<Vec<f32>> {
        let patches: Vec<f32> = patches.flatten_all()?.to_vec1()?;
        let vision = self.vision.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Vec::new();
        let mut rest = patches.as_slice();
        // Pictures do not see each other, so few at a time need less memory for the same.
        for grids in together(grids) {
            let count: usize = grids.iter().map(|grid| grid.patches() * PATCH_VALUES).sum();
            let (own, behind) = rest.split_at(count.min(rest.len()));
            rest = behind;
            seen.extend(vision.see(own, grids)?);
        }
        Ok(seen)
    }

    fn foretell(&self, reading: &Reading, with_pairs: bool) -> Result<Foretold> {
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.pass(reading, (with_pairs, false), |pass| {
            pass.foretell(&|_, _| Term::default()).map(|(words, _)| words)
        })
    }

    fn learn(&self, reading: &Reading, term: &dyn Fn(usize, f32) -> Term) -> Result<Learnt> {
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.pass(reading, (true, true), |pass| pass.learn(term))
    }
}

/// Pictures in turns of no more patches than are seen at once, or of one picture.
fn together(grids: &[Grid]) -> Vec<&[Grid]> {
    let mut turns = Vec::new();
    let mut start = 0;
    while start < grids.len() {
        let mut patches = 0;
        let fit = grids[start..].iter().take_while(|grid| {
            patches += grid.patches();
            patches <= PATCHES
        });
        let end = start + fit.count().max(1);
        turns.push(&grids[start..end]);
        start = end;
    }
    turns
}

/// What tuning is to be sized for.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Numbers of the pairs.
    pub trained: u64,
    /// Their greatest rank.
    pub rank: usize,
    /// Whether their inputs are dropped out.
    pub drops: bool,
    /// Tokens of a batch.
    pub tokens: usize,
    /// Tokens of its longest sequence.
    pub longest: usize,
    /// Patches of its pictures.
    pub patches: usize,
}

/// Bytes of a GPU's memory that tuning takes: the model with its pairs, and what a batch is computed in.
#[must_use]
pub fn memory(config: &ModelConfig, load: &Load) -> [u64; 2] {
    let Load { trained, rank, drops, tokens, longest, patches } = *load;
    // The pairs are there in bf16, their gradients in f32.
    let [narrow, wide] = [size_of::<bf16>(), size_of::<f32>()].map(|bytes| bytes as u64);
    let (text, weights) = (&config.text, config.parameters() * narrow + trained * (narrow + wide));
    let size = Size {
        rows: tokens,
        longest,
        targets: tokens,
        given: patches / (MERGE * MERGE) * text.hidden_size,
        rank,
        drops,
        learns: true,
    };
    let eye = vision::bytes(&config.vision, patches.min(PATCHES));
    [weights, (Space::new(Address::NULL, text, &size).bytes + eye) as u64]
}
