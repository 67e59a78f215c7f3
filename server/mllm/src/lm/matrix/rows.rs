//! Rows of weights in each number format, as products read them.
//!
//! - `avx2`: sums of bf16 where there is no AVX-512.

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::ops::Range;

use half::bf16;

use crate::ops::rows::dot;

/// Rows that may be multiplied together: x is longer than its weights in bytes, and is then read once for all of them.
pub(super) const TOGETHER: usize = 4;

/// Weights `[rows, columns]`.
pub(super) trait Rows: Sync {
    /// A row of x, brought into the form in which it is multiplied.
    type X<'x>: Sync;

    /// Prepares a row of x.
    fn prepare<'x>(&self, x: &'x [f32]) -> Self::X<'x>;

    /// The sum of products of a row with a row of x.
    fn dot(&self, row: usize, x: &Self::X<'_>) -> f32;

    /// The same for [`TOGETHER`] rows from `row` on.
    fn dots(&self, row: usize, x: &Self::X<'_>) -> [f32; TOGETHER] {
        std::array::from_fn(|nth| self.dot(row + nth, x))
    }

    /// Rows as f32, `[rows, columns]`.
    #[cfg(test)]
    fn widened(&self, rows: Range<usize>) -> Vec<f32> {
        let mut values = Vec::new();
        self.widen(rows, &mut values);
        values
    }

    /// Appends rows as f32.
    fn widen(&self, rows: Range<usize>, values: &mut Vec<f32>);
}

/// Numbers as they are.
pub(super) struct Dense<'a, T> {
    pub(super) values: &'a [T],
    pub(super) columns: usize,
}

impl<T> Dense<'_, T> {
    pub(super) fn of(&self, rows: Range<usize>) -> &[T] {
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

    fn widen(&self, rows: Range<usize>, values: &mut Vec<f32>) {
        values.extend_from_slice(self.of(rows));
    }
}

impl Rows for Dense<'_, bf16> {
    type X<'x> = &'x [f32];

    fn prepare<'x>(&self, x: &'x [f32]) -> &'x [f32] {
        x
    }

    fn dot(&self, row: usize, x: &&[f32]) -> f32 {
        let [sum] = sums([self.of(row..row + 1)], x);
        sum
    }

    fn dots(&self, row: usize, x: &&[f32]) -> [f32; TOGETHER] {
        sums(std::array::from_fn(|nth| self.of(row + nth..row + nth + 1)), x)
    }

    fn widen(&self, rows: Range<usize>, values: &mut Vec<f32>) {
        values.extend(self.of(rows).iter().copied().map(widen));
    }
}

/// Sums of products of rows as long as x with x; each is what it would be alone.
fn sums<const N: usize>(rows: [&[bf16]; N], x: &[f32]) -> [f32; N] {
    const LANES: usize = 32;
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("avx512f") && has_avx2() {
        return avx2::sums(rows, x);
    }
    let mut sums = [[0f32; LANES]; N];
    let x_len = x.len();
    let (chunks, rest) = x.as_chunks::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    for (at, x) in chunks.iter().enumerate() {
        for (sums, (chunks, _)) in sums.iter_mut().zip(&rows) {
            let Some(w) = chunks.get(at) else { break };
            prefetch(w.as_ptr().wrapping_add(N * x_len));
            for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
                *sum += widen(*w) * x;
            }
        }
    }
    std::array::from_fn(|nth| {
        let rest: f32 = rows[nth].1.iter().zip(rest).map(|(w, x)| widen(*w) * x).sum();
        sums[nth].iter().sum::<f32>() + rest
    })
}

/// Whether the processor has the byte products of AVX-512 that kernels here are written for.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_byte_products() -> bool {
    is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512f")
}

/// Whether the processor has AVX2 and what comes with it, that kernels here are written for.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Asks memory for what a product comes to later: the processor itself does not look beyond a page.
#[inline(always)]
pub(super) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch of any address, mapped or not, reads nothing that the program could see.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(place.cast());
        }
    }
}

/// A bf16 is the upper half of an f32.
#[inline(always)]
pub(super) fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}
