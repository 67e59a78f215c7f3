//! Weights of eight bits: Q8_0 of ggml. 32 numbers of a row share a scale `d = max|w| / 127` kept as f16, and each is
//! kept as `round(w / d)`. Scales and numbers lie apart, so that numbers stay aligned, and each of them four rows side by
//! side. x is brought into the same form before it is multiplied, with scales of f32.
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

#[cfg(target_arch = "x86_64")]
pub(super) use self::avx2::added;
use super::quads::{QUAD, Quads, by_pairs, write_rows};
use super::rows::Rows;
use super::stretches::cut;
use super::tiles::Parts;

/// Numbers that share a scale.
pub(super) const GROUP: usize = 32;
/// Bytes of a group in files: the scale, then the numbers.
pub(super) const GROUP_BYTES: usize = 34;
const GREATEST: f32 = 127.0;
/// Groups whose scales lie side by side.
const GROUPS: usize = 16;
/// Most numbers of a stretch.
const STRETCH: usize = 4096;
/// Numbers of a piece: two groups.
const PIECE: usize = 2 * GROUP;

/// Numbers of a row that lie side by side: a line of memory. A row that ends within is filled up with zeros.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Piece([i8; PIECE]);

impl Piece {
    const ZERO: Self = Self([0; PIECE]);

    fn groups(&self) -> &[[i8; GROUP]] {
        self.0.as_chunks().0
    }
}

/// Weights `[rows, columns]`, a stretch of those of a matrix; `columns` is a multiple of [`GROUP`].
#[derive(Debug, Clone)]
pub(super) struct Q8 {
    columns: usize,
    scales: Quads<[f16; GROUPS]>,
    numbers: Quads<Piece>,
}

/// Numbers that share a scale.
struct Group {
    scale: f16,
    numbers: [i8; GROUP],
}

/// A row of x, in pieces like those of the weights.
pub(super) struct Row {
    scales: Vec<[f32; GROUPS]>,
    /// Of each group's numbers.
    sums: Vec<[i32; GROUPS]>,
    numbers: Vec<Piece>,
}

/// Four rows of weights.
#[derive(Clone, Copy)]
struct Quad<'a> {
    scales: &'a [[[f16; GROUPS]; QUAD]],
    numbers: &'a [[Piece; QUAD]],
}

impl Quad<'_> {
    /// Whether all of x is as long.
    fn fits<const M: usize>(self, x: &[Row; M]) -> bool {
        let (groups, pieces) = (self.scales.len(), self.numbers.len());
        groups == (pieces * PIECE).div_ceil(GROUPS * GROUP)
            && x.iter().all(|x| [x.scales.len(), x.sums.len(), x.numbers.len()] == [groups, groups, pieces])
    }
}

impl Q8 {
    /// Whether rows of so many numbers can be kept so.
    pub(super) fn fits(columns: usize) -> bool {
        columns.is_multiple_of(GROUP)
    }

    /// Rounds rows of `columns` numbers, by stretches. `numbers` gives some of a row.
    pub(super) fn round<'a>(
        rows: usize,
        columns: usize,
        numbers: impl Fn(usize, Range<usize>) -> Cow<'a, [f32]> + Sync,
    ) -> Vec<Self> {
        Self::of_rows(rows, columns, |row, stretch| {
            let values = numbers(row, stretch);
            let groups = values.as_chunks::<GROUP>().0.iter();
            let rounded = groups.map(|values| {
                let mut numbers = [0; GROUP];
                Group { scale: f16::from_f32(round(values, &mut numbers)), numbers }
            });
            rounded.collect()
        })
    }

    /// Takes groups as files hold them, [`GROUP_BYTES`] each.
    pub(super) fn from_blocks(rows: usize, columns: usize, bytes: &[u8]) -> Vec<Self> {
        let (blocks, _) = bytes.as_chunks::<GROUP_BYTES>();
        Self::of_rows(rows, columns, |row, stretch| {
            let of_row = &blocks[row * columns / GROUP..];
            let blocks = of_row[stretch.start / GROUP..stretch.end / GROUP].iter();
            let read = blocks.map(|[low, high, numbers @ ..]| Group {
                scale: f16::from_le_bytes([*low, *high]),
                numbers: numbers.map(u8::cast_signed),
            });
            read.collect()
        })
    }

    /// By stretches, of the groups of each row that belong to them.
    fn of_rows(
        rows: usize,
        columns: usize,
        groups: impl Fn(usize, Range<usize>) -> Vec<Group> + Sync,
    ) -> Vec<Self> {
        let stretches = cut(columns, STRETCH, GROUPS * GROUP).into_iter();
        let of_stretch =
            |stretch: Range<usize>| Self::of_groups(rows, stretch.len(), |row| groups(row, stretch.clone()));
        stretches.map(of_stretch).collect()
    }

    fn of_groups(rows: usize, columns: usize, groups: impl Fn(usize) -> Vec<Group> + Sync) -> Self {
        let mut scales = Quads::new(rows, columns.div_ceil(GROUPS * GROUP), [f16::ZERO; GROUPS]);
        let mut numbers = Quads::new(rows, columns.div_ceil(PIECE), Piece::ZERO);
        write_rows(rows, (&mut scales, &mut numbers), |row, scales, numbers| {
            for (nth, group) in groups(row).into_iter().enumerate() {
                scales[nth / GROUPS][row % QUAD][nth % GROUPS] = group.scale;
                let piece = &mut numbers[nth * GROUP / PIECE][row % QUAD].0;
                piece[nth * GROUP % PIECE..][..GROUP].copy_from_slice(&group.numbers);
            }
        });
        Self { columns, scales, numbers }
    }

    /// Appends the rows of another of as many columns; this one has to end with four whole ones.
    pub(super) fn extend(&mut self, other: &Self) {
        self.scales.extend(&other.scales);
        self.numbers.extend(&other.numbers);
    }

    /// Bytes that a product reads.
    pub(super) fn bytes(&self) -> usize {
        self.scales.bytes() + self.numbers.bytes()
    }

    pub(super) fn gather(&self) {
        self.scales.gather();
        self.numbers.gather();
    }

    /// The four rows of which `row` is one.
    fn quad(&self, row: usize) -> Quad<'_> {
        Quad { scales: self.scales.around(row), numbers: self.numbers.around(row) }
    }
}

impl Quad<'_> {
    /// Sums of products with `M` rows of x; each is what it would be alone.
    fn sums<const M: usize>(self, x: &[Row; M]) -> [[f32; M]; QUAD] {
        #[cfg(target_arch = "x86_64")]
        if super::rows::has_byte_products() {
            return vnni::sums(self, x);
        }
        #[cfg(target_arch = "x86_64")]
        if super::rows::has_avx2() {
            return avx2::sums(self, x);
        }
        plain(self, x)
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
        let pieces = x.len().div_ceil(GROUPS * GROUP);
        let mut row = Row {
            scales: vec![[0.0; GROUPS]; pieces],
            sums: vec![[0; GROUPS]; pieces],
            numbers: vec![Piece::ZERO; x.len().div_ceil(PIECE)],
        };
        for (nth, x) in x.chunks_exact(GROUP).enumerate() {
            let numbers = &mut row.numbers[nth * GROUP / PIECE].0[nth * GROUP % PIECE..][..GROUP];
            row.scales[nth / GROUPS][nth % GROUPS] = round(x, numbers);
            row.sums[nth / GROUPS][nth % GROUPS] = numbers.iter().copied().map(i32::from).sum();
        }
        row
    }

    fn dot(&self, row: usize, x: &Row) -> f32 {
        let [sum] = self.quad(row).sums(std::array::from_ref(x))[row % QUAD];
        sum
    }

    fn dots(&self, row: usize, x: &[Row], sums: &mut [f32]) {
        let quad = self.quad(row);
        by_pairs(x, sums, |x| quad.sums(x), |x| quad.sums(x));
    }
}

impl Parts for Q8 {
    fn columns(&self) -> usize {
        self.columns
    }

    fn copy(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        let (quad, lane) = (self.quad(row), row % QUAD);
        let groups = columns.start / GROUP..columns.end / GROUP;
        for (group, into) in groups.zip(into.as_chunks_mut::<GROUP>().0) {
            let scale = quad.scales[group / GROUPS][lane][group % GROUPS].to_f32();
            let numbers = &quad.numbers[group * GROUP / PIECE][lane].groups()[group % (PIECE / GROUP)];
            for (into, number) in into.iter_mut().zip(numbers) {
                *into = scale * f32::from(*number);
            }
        }
    }
}

/// The definition.
fn plain<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    let sum = |row: usize, x: &Row| {
        let numbers = quad.numbers.iter().flat_map(|numbers| numbers[row].groups());
        let groups = numbers.zip(x.numbers.iter().flat_map(Piece::groups));
        let sums =
            groups.map(|(w, x)| w.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>());
        let scales = quad.scales.iter().flat_map(|scales| &scales[row]).zip(x.scales.iter().flatten());
        sums.zip(scales).map(|(sum, (w, x))| sum as f32 * (w.to_f32() * x)).sum()
    };
    std::array::from_fn(|row| x.each_ref().map(|x| sum(row, x)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    fn rounded(values: &[f32], columns: usize) -> Q8 {
        let row = |row: usize, part: Range<usize>| Cow::Borrowed(&values[row * columns..][part]);
        let mut stretches = Q8::round(values.len() / columns, columns, row);
        assert_eq!(stretches.len(), 1);
        stretches.remove(0)
    }

    #[test]
    fn rounding_stays_within_half_a_step() {
        let values = numbers(4 * 544, 3);
        let q8 = rounded(&values, 544);
        assert_eq!(q8.bytes(), 4 * (576 + 32 * 2), "filled up");
        for (value, kept) in values.iter().zip(q8.widened(0..4).iter()) {
            assert!((value - kept).abs() <= 0.5 / 127.0 * 0.501 + 5e-4 * value.abs());
        }
    }

    #[test]
    fn every_length_gives_the_definition() {
        for groups in [1, 2, 3, 15, 16, 17, 32, 43] {
            let columns = groups * GROUP;
            let w = rounded(&numbers(6 * columns, 1), columns);
            let x = [2, 3].map(|seed| w.prepare(&numbers(columns, seed)));
            for row in 0..6 {
                let quad = w.quad(row);
                let expected = plain(quad, &x)[row % QUAD];
                let near =
                    |sums: [f32; 2]| sums.iter().zip(expected).all(|(sum, is)| (sum - is).abs() < 1e-4);
                assert!(near(quad.sums(&x)[row % QUAD]), "{groups} groups");
                assert_eq!(
                    x.each_ref().map(|x| w.dot(row, x)),
                    quad.sums(&x)[row % QUAD],
                    "alone and together"
                );
                // The best that the processor has was asked; what is below it has to be right as well.
                #[cfg(target_arch = "x86_64")]
                if super::super::rows::has_avx2() {
                    assert!(near(avx2::sums(quad, &x)[row % QUAD]), "{groups} groups");
                }
            }
            assert_eq!(plain(w.quad(4), &x)[2..], [[0.0; 2]; 2], "rows that are not there");
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
