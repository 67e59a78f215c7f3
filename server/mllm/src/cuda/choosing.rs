//! How tokens are chosen on the GPU.

use super::gpu::{Address, Arg, Gpu};
use super::kernels::{Kernels, ROW_THREADS, int};
use crate::error::Result;
use crate::lm::Choice;

/// Integers of a choice; see `kernels/choose.cu`.
pub const CHOICE: usize = 4;
/// Parts into which the search for the best score is cut.
const BEST_PARTS: usize = 32;
/// Threads of `choose`.
const CHOOSE_THREADS: usize = 1024;

/// What tokens are chosen from; see `kernels/choose.cu`.
#[derive(Debug, Clone, Copy)]
pub struct Choosing {
    /// `[rows, vocab]`
    pub scores: Address,
    /// `[rows, CHOICE]`
    pub choices: Address,
    /// `[rows, mask_words(vocab)]`
    pub masks: Address,
    /// [`Kernels::choose_space`] bytes.
    pub space: Address,
    /// `[rows]`: the tokens, -1 where there is none.
    pub ids: Address,
}

/// Integers that hold a bit for each token.
#[must_use]
pub fn mask_words(vocab: usize) -> usize {
    vocab.div_ceil(32)
}

/// A choice as `choose` reads it; its mask lies elsewhere.
#[must_use]
pub fn choice_words(choice: &Choice) -> [i32; CHOICE] {
    let flags = i32::from(choice.among.is_some()) + 2 * i32::from(choice.draw.is_some());
    let numbers = choice.draw.map_or([0.0; 3], |draw| [draw.scale(), draw.top_p, draw.uniform]);
    let [scale, top_p, uniform] = numbers.map(|number| number.to_bits().cast_signed());
    [flags, scale, top_p, uniform]
}

impl<G: Gpu> Kernels<'_, G> {
    /// Chooses a token for each row of scores.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn choose(&self, choosing: &Choosing, [rows, vocab]: [usize; 2]) -> Result<()> {
        let Choosing { scores, choices, masks, space, ids } = *choosing;
        let places = space.after(rows * BEST_PARTS * size_of::<f32>());
        let heavy = places.after(rows * BEST_PARTS * size_of::<i32>());
        let args = [scores, choices, masks, space, places].map(Arg::At);
        let args: Vec<Arg> = args.into_iter().chain([int(vocab)]).collect();
        self.launch("best_of_parts", [BEST_PARTS, rows, 1], ROW_THREADS, &args)?;
        let args = [scores, choices, masks, space, places, heavy, ids].map(Arg::At);
        let args: Vec<Arg> = args.into_iter().chain([int(BEST_PARTS), int(vocab)]).collect();
        self.launch("choose", [rows, 1, 1], CHOOSE_THREADS, &args)
    }

    /// Bytes that `choose` needs.
    #[must_use]
    pub fn choose_space([rows, vocab]: [usize; 2]) -> usize {
        rows * (2 * BEST_PARTS + vocab) * size_of::<f32>()
    }
}
