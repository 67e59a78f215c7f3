//! Rows of weights in each number format, as products read them.

use std::borrow::Cow;
use std::ops::Range;

use half::bf16;

use crate::ops::rows::dot;

/// Weights `[rows, columns]`.
pub(super) trait Rows: Sync {
    /// A row of x, brought into the form in which it is multiplied.
    type X<'x>: Sync;

    /// Prepares a row of x.
    fn prepare<'x>(&self, x: &'x [f32]) -> Self::X<'x>;

    /// The sum of products of a row with a row of x.
    fn dot(&self, row: usize, x: &Self::X<'_>) -> f32;

    /// Rows as f32, `[rows, columns]`.
    fn widened(&self, rows: Range<usize>) -> Cow<'_, [f32]>;
}

/// Numbers as they are.
pub(super) struct Dense<'a, T> {
    pub(super) values: &'a [T],
    pub(super) columns: usize,
}

impl<T> Dense<'_, T> {
    fn of(&self, rows: Range<usize>) -> &[T] {
        &self.values[rows.start * self.columns..rows.end * self.columns]
    }
}

impl Rows for Dense<'_, f32> {
    type X<'x> = &'x [f32];

    fn prepare<'x>(&self, x: &'x [f32]) -> &'x [f32] {
        x
    }

    fn dot(&self, row: usize, x: &&[f32]) -> f32 {
        dot(self.of(row..row + 1), x)
    }

    fn widened(&self, rows: Range<usize>) -> Cow<'_, [f32]> {
        Cow::Borrowed(self.of(rows))
    }
}

impl Rows for Dense<'_, bf16> {
    type X<'x> = &'x [f32];

    fn prepare<'x>(&self, x: &'x [f32]) -> &'x [f32] {
        x
    }

    fn dot(&self, row: usize, x: &&[f32]) -> f32 {
        const LANES: usize = 64;
        let mut sums = [0f32; LANES];
        let (w, x) = (self.of(row..row + 1).chunks_exact(LANES), x.chunks_exact(LANES));
        let rest: f32 = w.remainder().iter().zip(x.remainder()).map(|(w, x)| widen(*w) * x).sum();
        for (w, x) in w.zip(x) {
            for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
                *sum += widen(*w) * x;
            }
        }
        sums.iter().sum::<f32>() + rest
    }

    fn widened(&self, rows: Range<usize>) -> Cow<'_, [f32]> {
        Cow::Owned(self.of(rows).iter().copied().map(widen).collect())
    }
}

/// A bf16 is the upper half of an f32.
#[inline(always)]
pub(super) fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}
