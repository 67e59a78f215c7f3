//! Rows of weights in each number format, and how products read them.
//!
//! - `avx512`, `avx2`: sums of bf16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;

use std::ops::Range;

use half::bf16;

use super::quads::by_pairs;
use crate::ops::rows::dot;

/// Rows that are multiplied together: x is longer than its weights in bytes, and is then read once for all of them.
pub(super) const TOGETHER: usize = 4;
/// Numbers of bf16 that memory gives at once.
const LINE: usize = 32;

/// Weights `[rows, columns]`.
pub(super) trait Rows: Sync {
    /// A row of x, brought into the form in which it is multiplied.
    type X<'x>: Sync;

    /// Prepares a row of x.
    fn prepare<'x>(&self, x: &'x [f32]) -> Self::X<'x>;

    /// The sum of products of a row with a row of x.
    fn dot(&self, row: usize, x: &Self::X<'_>) -> f32;

    /// Writes the sums for some rows and all of x to `sums` `[rows, x]`.
    fn multiply(&self, rows: Range<usize>, x: &[Self::X<'_>], sums: &mut [f32]) {
        let (mut row, count) = (rows.start, x.len());
        let mut together = sums.chunks_exact_mut(TOGETHER * count);
        for sums in together.by_ref() {
            self.dots(row, x, sums);
            row += TOGETHER;
        }
        for (row, sums) in (row..rows.end).zip(together.into_remainder().chunks_exact_mut(count)) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = self.dot(row, x);
            }
        }
    }

    /// The same as [`Self::multiply`] for [`TOGETHER`] rows from `row` on and all of x: `sums` are `[TOGETHER, x]`.
    fn dots(&self, row: usize, x: &[Self::X<'_>], sums: &mut [f32]) {
        for (at, x) in x.iter().enumerate() {
            for (nth, sums) in sums.chunks_exact_mut(sums.len() / TOGETHER).enumerate() {
                sums[at] = self.dot(row + nth, x);
            }
        }
    }
}

/// Weights that are bf16, however they are kept; x stays as it is.
pub(super) trait Narrow: Sync {
    /// Sums of products of `N` rows from `row` on with `M` rows of x. Each is what it would be alone.
    fn sums<const N: usize, const M: usize>(&self, row: usize, x: [&[f32]; M]) -> [[f32; M]; N];
}

impl<W: Narrow> Rows for W {
    type X<'x> = &'x [f32];

    fn prepare<'x>(&self, x: &'x [f32]) -> &'x [f32] {
        x
    }

    fn dot(&self, row: usize, x: &&[f32]) -> f32 {
        let [[sum]] = self.sums(row, [x]);
        sum
    }

    fn dots(&self, row: usize, x: &[&[f32]], sums: &mut [f32]) {
        by_pairs(x, sums, |x| self.sums(row, *x), |x| self.sums(row, *x));
    }
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
}

impl Narrow for Dense<'_, bf16> {
    fn sums<const N: usize, const M: usize>(&self, row: usize, x: [&[f32]; M]) -> [[f32; M]; N] {
        let rows: [&[bf16]; N] = std::array::from_fn(|nth| self.of(row + nth..row + nth + 1));
        let whole = self.columns - self.columns % LINE;
        let mut sums = lines(rows, x, whole);
        if whole < self.columns {
            for (sums, row) in sums.iter_mut().zip(rows) {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += row[whole..].iter().zip(&x[whole..]).map(|(w, x)| widen(*w) * x).sum::<f32>();
                }
            }
        }
        sums
    }
}

/// Sums of products of the first `whole` numbers, which are lines.
fn lines<const N: usize, const M: usize>(rows: [&[bf16]; N], x: [&[f32]; M], whole: usize) -> [[f32; M]; N] {
    #[cfg(target_arch = "x86_64")]
    if has_avx512() {
        return avx512::lines(rows, x, whole);
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return avx2::lines(rows, x, whole);
    }
    rows.map(|row| x.map(|x| sum(&row[..whole], &x[..whole])))
}

/// The definition, for processors without a kernel of their own.
fn sum(row: &[bf16], x: &[f32]) -> f32 {
    let mut sums = [0f32; LINE];
    for (w, x) in row.as_chunks::<LINE>().0.iter().zip(x.as_chunks::<LINE>().0) {
        for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
            *sum += widen(*w) * x;
        }
    }
    sums.iter().sum()
}

/// Whether the processor has the byte products of AVX-512 that kernels here are written for.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_byte_products() -> bool {
    is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512f")
}

/// Whether the processor has the part of AVX-512 that kernels of bf16 are written for.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
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

/// Asks memory for what lies four pages behind `place`. Where much is done with each line, as with several of x,
/// the processor does not read on by itself; else asking only costs.
#[inline(always)]
pub(super) fn ask_ahead<T>(place: *const T) {
    const AHEAD: usize = 16384;
    prefetch(place.wrapping_byte_add(AHEAD));
}

/// A bf16 is the upper half of an f32.
#[inline(always)]
pub(super) fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    #[test]
    fn every_kernel_of_bf16_gives_the_definition() {
        type Lines = fn([&[bf16]; 2], [&[f32]; 3], usize) -> [[f32; 3]; 2];
        let mut ways: Vec<Lines> = vec![lines];
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            ways.push(avx2::lines);
        }
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            ways.push(avx512::lines);
        }
        for len in [LINE, 3 * LINE, 1_024] {
            let w: Vec<_> = numbers(2 * len, 1).into_iter().map(bf16::from_f32).collect();
            let x = numbers(3 * len, 2);
            let rows = [&w[..len], &w[len..]];
            let x = [0, 1, 2].map(|nth| &x[nth * len..(nth + 1) * len]);
            for way in &ways {
                let sums = way(rows, x, len);
                for (sums, row) in sums.iter().zip(rows) {
                    for (got, x) in sums.iter().zip(x) {
                        assert!((got - sum(row, x)).abs() < 1e-4, "{len}: {got}");
                    }
                }
            }
        }
    }
}
