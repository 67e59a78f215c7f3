//! Weights of eight bits: Q8_0 of ggml. 32 numbers of a row share a scale `d = max|w| / 127` kept as f16, and each is
//! kept as `round(w / d)`. Scales and numbers lie apart, so that numbers stay aligned. x is brought into the same form
//! before it is multiplied, with scales of f32.
//!
//! - `vnni`: the product with the byte products of AVX-512.
//! - `avx2`: the product with AVX2.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::borrow::Cow;
use std::ops::Range;

use half::f16;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
pub(super) use self::avx2::added;
use super::rows::Rows;

/// Numbers that share a scale.
pub(super) const GROUP: usize = 32;
/// Bytes of a group in files: the scale, then the numbers.
pub(super) const GROUP_BYTES: usize = 34;
const GREATEST: f32 = 127.0;

/// Weights `[rows, columns]`; `columns` is a multiple of [`GROUP`].
#[derive(Debug, Clone)]
pub(super) struct Q8 {
    columns: usize,
    /// `[rows, columns / GROUP]`
    scales: Vec<f16>,
    /// `[rows, columns]`
    numbers: Vec<i8>,
}

/// A row of x: scales and sums `[columns / GROUP]`, numbers `[columns]`.
pub(super) struct Row {
    scales: Vec<f32>,
    sums: Vec<i32>,
    numbers: Vec<i8>,
}

impl Q8 {
    /// Whether rows of so many numbers can be kept so.
    pub(super) fn fits(columns: usize) -> bool {
        columns.is_multiple_of(GROUP)
    }

    /// Rounds rows of `columns` numbers, given as f32 by range.
    pub(super) fn round<'a>(
        rows: usize,
        columns: usize,
        widened: impl Fn(Range<usize>) -> Cow<'a, [f32]> + Sync,
    ) -> Self {
        let mut scales = vec![f16::ZERO; rows * columns / GROUP];
        let mut numbers = vec![0; rows * columns];
        let by_row = scales.par_chunks_mut(columns / GROUP).zip(numbers.par_chunks_mut(columns));
        by_row.enumerate().for_each(|(row, (scales, numbers))| {
            let values = widened(row..row + 1);
            let groups = values.chunks_exact(GROUP).zip(numbers.chunks_exact_mut(GROUP));
            for (scale, (values, numbers)) in scales.iter_mut().zip(groups) {
                *scale = f16::from_f32(round(values, numbers));
            }
        });
        Self { columns, scales, numbers }
    }

    /// Takes groups as files hold them, [`GROUP_BYTES`] each.
    pub(super) fn from_blocks(columns: usize, bytes: &[u8]) -> Self {
        let (groups, _) = bytes.as_chunks::<GROUP_BYTES>();
        let scales = groups.iter().map(|group| f16::from_le_bytes([group[0], group[1]])).collect();
        let numbers = groups.iter().flat_map(|group| &group[2..]).map(|byte| byte.cast_signed()).collect();
        Self { columns, scales, numbers }
    }

    /// Appends the rows of another of as many columns.
    pub(super) fn extend(&mut self, other: Self) {
        self.scales.extend(other.scales);
        self.numbers.extend(other.numbers);
    }

    /// Bytes that a product reads.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.scales.as_slice()) + self.numbers.len()
    }

    fn row(&self, row: usize) -> (&[f16], &[i8]) {
        let groups = self.columns / GROUP;
        let numbers = &self.numbers[row * self.columns..(row + 1) * self.columns];
        (&self.scales[row * groups..(row + 1) * groups], numbers)
    }
}

/// Rounds a group; gives its scale.
pub(super) fn round(values: &[f32], numbers: &mut [i8]) -> f32 {
    let greatest = values.iter().fold(0f32, |greatest, value| greatest.max(value.abs()));
    let scale = greatest / GREATEST;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (number, value) in numbers.iter_mut().zip(values) {
        *number = (value * inverse).round() as i8;
    }
    // What is not a number has to stay visible in the product.
    if values.iter().all(|value| value.is_finite()) { scale } else { f32::NAN }
}

impl Rows for Q8 {
    type X<'x> = Row;

    fn prepare(&self, x: &[f32]) -> Row {
        let mut numbers = vec![0; x.len()];
        let groups = x.chunks_exact(GROUP).zip(numbers.chunks_exact_mut(GROUP));
        let scales = groups.map(|(x, numbers)| round(x, numbers)).collect();
        let sum = |numbers: &[i8]| numbers.iter().copied().map(i32::from).sum();
        let sums = numbers.chunks_exact(GROUP).map(sum).collect();
        Row { scales, sums, numbers }
    }

    fn dot(&self, row: usize, x: &Row) -> f32 {
        let (scales, numbers) = self.row(row);
        #[cfg(target_arch = "x86_64")]
        if super::rows::has_byte_products() {
            return vnni::dot(scales, numbers, x);
        }
        #[cfg(target_arch = "x86_64")]
        if super::rows::has_avx2() {
            return avx2::dot(scales, numbers, x);
        }
        plain(scales, numbers, x)
    }

    fn widen(&self, rows: Range<usize>, values: &mut Vec<f32>) {
        values.reserve(rows.len() * self.columns);
        for row in rows {
            let (scales, numbers) = self.row(row);
            for (scale, numbers) in scales.iter().zip(numbers.chunks_exact(GROUP)) {
                let scale = scale.to_f32();
                values.extend(numbers.iter().map(|number| scale * f32::from(*number)));
            }
        }
    }
}

/// The definition.
fn plain(scales: &[f16], numbers: &[i8], x: &Row) -> f32 {
    let groups = numbers.chunks_exact(GROUP).zip(x.numbers.chunks_exact(GROUP));
    let sums = groups.map(|(w, x)| w.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>());
    let scales = scales.iter().zip(&x.scales).map(|(w, x)| w.to_f32() * x);
    sums.zip(scales).map(|(sum, scale)| sum as f32 * scale).sum()
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    fn rounded(values: &[f32], columns: usize) -> Q8 {
        let row = |rows: Range<usize>| Cow::Borrowed(&values[rows.start * columns..rows.end * columns]);
        Q8::round(values.len() / columns, columns, row)
    }

    #[test]
    fn rounding_stays_within_half_a_step() {
        let values = numbers(4 * 96, 3);
        let q8 = rounded(&values, 96);
        assert_eq!(q8.bytes(), 4 * 96 + 4 * 3 * 2);
        for (value, kept) in values.iter().zip(q8.widened(0..4).iter()) {
            assert!((value - kept).abs() <= 0.5 / 127.0 * 0.501 + 5e-4 * value.abs());
        }
    }

    #[test]
    fn every_length_gives_the_definition() {
        for groups in [1, 2, 3, 15, 16, 17, 32, 43] {
            let columns = groups * GROUP;
            let (w, x) = (rounded(&numbers(2 * columns, 1), columns), numbers(columns, 2));
            let x = w.prepare(&x);
            for row in 0..2 {
                let (scales, numbers) = w.row(row);
                let expected = plain(scales, numbers, &x);
                assert!((w.dot(row, &x) - expected).abs() < 1e-4, "{groups} groups");
                // The best that the processor has was asked; what is below it has to be right as well.
                #[cfg(target_arch = "x86_64")]
                if super::super::rows::has_avx2() {
                    assert!((avx2::dot(scales, numbers, &x) - expected).abs() < 1e-4, "{groups} groups");
                }
            }
        }
    }

    #[test]
    fn zeros_and_what_is_not_a_number_stay_what_they_are() {
        let w = rounded(&numbers(64, 1), 64);
        assert_eq!(w.dot(0, &w.prepare(&[0.0; 64])), 0.0);
        let mut x = numbers(64, 2);
        x[40] = f32::NAN;
        assert!(w.dot(0, &w.prepare(&x)).is_nan());
        x[40] = f32::INFINITY;
        assert!(!w.dot(0, &w.prepare(&x)).is_finite());
    }
}
