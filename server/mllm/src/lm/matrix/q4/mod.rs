//! Weights of four bits: Q4_K of ggml. A block of 256 numbers of a row holds eight groups of 32. A number is
//! `scale * n - min` with n of four bits; the scale and the min of its group are six-bit multiples of two f16 steps of
//! the block. That is 4.5 bits a number. Blocks of four rows lie side by side. x is rounded to eight bits a number, as for
//! [`Q8`](super::q8).
//!
//! - `head`: steps, scales and mins of a block.
//! - `fit`: rounding of a group.
//! - `vnni`: the product with the byte products of AVX-512.
//! - `avx2`: the product with AVX2.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod fit;
mod head;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::borrow::Cow;
use std::ops::Range;

use half::f16;

use self::fit::{Fit, MOST, fit};
use self::head::Head;
use super::q8::{self, GROUP};
use super::quads::{QUAD, Quads, by_pairs, write_rows};
use super::rows::Rows;
use super::stretches::cut;
use super::tiles::Parts;

/// Numbers that share their steps.
pub(super) const BLOCK: usize = 256;
/// Bytes of a block in files.
pub(super) const BLOCK_BYTES: usize = 144;
/// Most numbers of a stretch.
const STRETCH: usize = 4096;
/// Groups of a block.
const GROUPS: usize = BLOCK / GROUP;
/// Bytes of a register.
const REGISTER: usize = 64;

/// Weights `[rows, columns]`, a stretch of those of a matrix; `columns` is a multiple of [`BLOCK`].
#[derive(Debug, Clone)]
pub(super) struct Q4 {
    columns: usize,
    /// `[rows, columns / BLOCK]`
    heads: Quads<Head>,
    /// `[rows, columns / BLOCK]`
    numbers: Quads<Numbers>,
}

/// Four rows of weights.
#[derive(Clone, Copy)]
struct Quad<'a> {
    heads: &'a [[Head; QUAD]],
    numbers: &'a [[Numbers; QUAD]],
}

/// The four-bit numbers of a block, in the order of [`place`]: registers 0 and 1 are the low and the high halves of
/// the first line's bytes, 2 and 3 those of the second's.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Numbers([[u8; REGISTER]; 2]);

/// A row of x, block by block.
type Row = Vec<XBlock>;

/// A block of a row of x.
#[repr(C, align(64))]
pub(super) struct XBlock {
    /// In the order of [`place`].
    numbers: [[i8; REGISTER]; 4],
    /// Of each group the scale, then of each group minus the scale times the sum of its numbers.
    factors: [f32; 2 * GROUPS],
}

/// The register and the byte in it that hold a number of a block: words of 32 bits lie 2 g and 2 g + 1 in all four
/// registers for group g, so that the products of the four can be added before they are scaled.
const fn place(number: usize) -> (usize, usize) {
    (number / 4 % 4, number / 16 * 4 + number % 4)
}

impl Numbers {
    const NONE: Self = Self([[0; REGISTER]; 2]);

    fn set(&mut self, number: usize, value: u8) {
        let (register, byte) = place(number);
        self.0[register / 2][byte] |= value << (register % 2 * 4);
    }

    /// In the order of the row: sixteen at a time, of one word in each register.
    #[inline]
    fn unpacked(&self) -> [u8; BLOCK] {
        let [first, second] = &self.0;
        let words = first.as_chunks::<4>().0.iter().zip(second.as_chunks::<4>().0);
        let mut numbers = [0; BLOCK];
        for (numbers, (first, second)) in numbers.as_chunks_mut::<16>().0.iter_mut().zip(words) {
            let (first, second) = (u32::from_le_bytes(*first), u32::from_le_bytes(*second));
            let registers = [first, first >> 4, second, second >> 4];
            numbers.copy_from_slice(registers.map(|word| (word & 0x0f0f_0f0f).to_le_bytes()).as_flattened());
        }
        numbers
    }
}

impl Q4 {
    /// Whether rows of so many numbers can be kept so.
    pub(super) fn fits(columns: usize) -> bool {
        columns.is_multiple_of(BLOCK)
    }

    /// Rounds rows of `columns` numbers, by stretches. `numbers` gives some of a row.
    pub(super) fn round<'a>(
        rows: usize,
        columns: usize,
        numbers: impl Fn(usize, Range<usize>) -> Cow<'a, [f32]> + Sync,
    ) -> Vec<Self> {
        Self::of_rows(rows, columns, |row, stretch| {
            let values = numbers(row, stretch);
            values.as_chunks::<BLOCK>().0.iter().map(round).collect()
        })
    }

    /// Takes blocks as files hold them, [`BLOCK_BYTES`] each.
    pub(super) fn from_blocks(rows: usize, columns: usize, bytes: &[u8]) -> Vec<Self> {
        let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
        Self::of_rows(rows, columns, |row, stretch| {
            let of_row = &blocks[row * columns / BLOCK..];
            of_row[stretch.start / BLOCK..stretch.end / BLOCK].iter().map(read).collect()
        })
    }

    /// By stretches, of the blocks of each row that belong to them.
    fn of_rows(
        rows: usize,
        columns: usize,
        blocks: impl Fn(usize, Range<usize>) -> Vec<(Head, Numbers)> + Sync,
    ) -> Vec<Self> {
        let stretches = cut(columns, STRETCH, BLOCK).into_iter();
        let of_stretch =
            |stretch: Range<usize>| Self::of_blocks(rows, stretch.len(), |row| blocks(row, stretch.clone()));
        stretches.map(of_stretch).collect()
    }

    fn of_blocks(rows: usize, columns: usize, blocks: impl Fn(usize) -> Vec<(Head, Numbers)> + Sync) -> Self {
        let mut heads = Quads::new(rows, columns / BLOCK, Head::ZERO);
        let mut numbers = Quads::new(rows, columns / BLOCK, Numbers::NONE);
        write_rows(rows, (&mut heads, &mut numbers), |row, heads, numbers| {
            for (nth, (head, of_block)) in blocks(row).into_iter().enumerate() {
                heads[nth][row % QUAD] = head;
                numbers[nth][row % QUAD] = of_block;
            }
        });
        Self { columns, heads, numbers }
    }

    /// Appends the rows of another of as many columns; this one has to end with four whole ones.
    pub(super) fn extend(&mut self, other: &Self) {
        self.heads.extend(&other.heads);
        self.numbers.extend(&other.numbers);
    }

    /// Bytes that a product reads.
    pub(super) fn bytes(&self) -> usize {
        self.heads.bytes() + self.numbers.bytes()
    }

    pub(super) fn gather(&self) {
        self.heads.gather();
        self.numbers.gather();
    }

    /// The four rows of which `row` is one.
    fn quad(&self, row: usize) -> Quad<'_> {
        Quad { heads: self.heads.around(row), numbers: self.numbers.around(row) }
    }
}

impl Quad<'_> {
    /// Whether all of x is as long.
    fn fits<const M: usize>(self, x: &[Row; M]) -> bool {
        x.iter().all(|x| [self.heads.len(), self.numbers.len()] == [x.len(); 2])
    }

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

/// Reads a block of a file.
fn read(block: &[u8; BLOCK_BYTES]) -> (Head, Numbers) {
    let (start, nibbles) = block.split_at(Head::FILE_BYTES);
    let mut numbers = Numbers::NONE;
    // 32 bytes hold two groups: one in their low halves, the next in their high ones.
    for (pair, bytes) in nibbles.chunks_exact(GROUP).enumerate() {
        for (nth, byte) in bytes.iter().enumerate() {
            numbers.set(2 * pair * GROUP + nth, byte & 0xf);
            numbers.set((2 * pair + 1) * GROUP + nth, byte >> 4);
        }
    }
    (Head::read(start), numbers)
}

/// Rounds a block.
fn round(values: &[f32; BLOCK]) -> (Head, Numbers) {
    let mut numbers = Numbers::NONE;
    // What is not a number has to stay visible in the product.
    if !values.iter().all(|value| value.is_finite()) {
        return (Head { step: f16::NAN, ..Head::ZERO }, numbers);
    }
    let (groups, _) = values.as_chunks::<GROUP>();
    let mut fits = [Fit::default(); GROUPS];
    for (fitted, group) in fits.iter_mut().zip(groups) {
        *fitted = fit(group);
    }
    let head = Head::around(fits.map(|fit| fit.scale), fits.map(|fit| fit.min));
    for (at, group) in groups.iter().enumerate() {
        let (scale, min) = head.group(at);
        if scale == 0.0 {
            continue;
        }
        for (nth, value) in group.iter().enumerate() {
            let number = ((value + min) / scale).round_ties_even().clamp(0.0, MOST);
            numbers.set(at * GROUP + nth, number as u8);
        }
    }
    (head, numbers)
}

impl Rows for Q4 {
    type X<'x> = Row;

    fn prepare(&self, x: &[f32]) -> Row {
        let (blocks, _) = x.as_chunks::<BLOCK>();
        blocks.iter().map(x_block).collect()
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

impl Parts for Q4 {
    fn columns(&self) -> usize {
        self.columns
    }

    fn copy(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        let (quad, lane) = (self.quad(row), row % QUAD);
        let blocks = columns.start / BLOCK..columns.end / BLOCK;
        for (block, into) in blocks.zip(into.as_chunks_mut::<BLOCK>().0) {
            let (head, numbers) = (quad.heads[block][lane], quad.numbers[block][lane].unpacked());
            let groups = into.as_chunks_mut::<GROUP>().0.iter_mut().zip(numbers.as_chunks::<GROUP>().0);
            for (at, (into, numbers)) in groups.enumerate() {
                let (scale, min) = head.group(at);
                for (into, number) in into.iter_mut().zip(numbers) {
                    *into = scale * f32::from(*number) - min;
                }
            }
        }
    }
}

fn x_block(x: &[f32; BLOCK]) -> XBlock {
    let mut block = XBlock { numbers: [[0; REGISTER]; 4], factors: [0.0; 2 * GROUPS] };
    for (at, group) in x.as_chunks::<GROUP>().0.iter().enumerate() {
        let mut numbers = [0; GROUP];
        let scale = q8::round(group, &mut numbers);
        for (nth, number) in numbers.iter().enumerate() {
            let (register, byte) = place(at * GROUP + nth);
            block.numbers[register][byte] = *number;
        }
        let sum: i32 = numbers.iter().copied().map(i32::from).sum();
        block.factors[at] = scale;
        block.factors[GROUPS + at] = -scale * sum as f32;
    }
    block
}

/// The definition.
fn plain<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    std::array::from_fn(|row| x.each_ref().map(|x| plain_row(quad, row, x)))
}

fn plain_row(quad: Quad, row: usize, x: &[XBlock]) -> f32 {
    let mut total = 0.0;
    for ((heads, numbers), x) in quad.heads.iter().zip(quad.numbers).zip(x) {
        let head = heads[row];
        for (at, numbers) in numbers[row].unpacked().chunks_exact(GROUP).enumerate() {
            let product = |(nth, number): (usize, &u8)| {
                let (register, byte) = place(at * GROUP + nth);
                i32::from(*number) * i32::from(x.numbers[register][byte])
            };
            let sum: i32 = numbers.iter().enumerate().map(product).sum();
            let (scale, min) = head.group(at);
            total += sum as f32 * scale * x.factors[at] + min * x.factors[GROUPS + at];
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    fn rounded(values: &[f32], columns: usize) -> Q4 {
        let row = |row: usize, part: Range<usize>| Cow::Borrowed(&values[row * columns..][part]);
        let mut stretches = Q4::round(values.len() / columns, columns, row);
        assert_eq!(stretches.len(), 1);
        stretches.remove(0)
    }

    #[test]
    fn every_number_has_its_own_place() {
        let mut places: Vec<_> = (0..BLOCK).map(place).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), BLOCK);
        let mut block = Numbers::NONE;
        (0..BLOCK).for_each(|number| block.set(number, (number % 13) as u8));
        assert_eq!(block.unpacked(), std::array::from_fn(|number| (number % 13) as u8));
    }

    #[test]
    fn rounding_stays_within_a_step_of_four_bits() {
        let values = numbers(4 * 512, 3);
        let q4 = rounded(&values, 512);
        assert_eq!(q4.bytes(), 4 * 512 * 9 / 16);
        for (value, kept) in values.iter().zip(q4.widened(0..4).iter()) {
            assert!((value - kept).abs() <= 1.0 / 15.0 * 0.75, "{value} as {kept}");
        }
    }

    #[test]
    fn every_length_gives_the_definition() {
        for blocks in [1, 2, 3, 8, 16] {
            let columns = blocks * BLOCK;
            let w = rounded(&numbers(6 * columns, 1), columns);
            let x = [2, 3].map(|seed| w.prepare(&numbers(columns, seed)));
            for row in 0..6 {
                let quad = w.quad(row);
                let expected = plain(quad, &x)[row % QUAD];
                let near = |sums: [f32; 2]| {
                    sums.iter().zip(expected).all(|(sum, is)| (sum - is).abs() < 1e-4 + 1e-6 * is.abs())
                };
                assert!(near(quad.sums(&x)[row % QUAD]), "{blocks} blocks");
                assert_eq!(
                    x.each_ref().map(|x| w.dot(row, x)),
                    quad.sums(&x)[row % QUAD],
                    "alone and together"
                );
                // The best that the processor has was asked; what is below it has to be right as well.
                #[cfg(target_arch = "x86_64")]
                if super::super::rows::has_avx2() {
                    assert!(near(avx2::sums(quad, &x)[row % QUAD]), "{blocks} blocks");
                }
            }
        }
    }

    #[test]
    fn the_definition_is_the_product_of_what_is_kept() {
        let (w, x) = (rounded(&numbers(512, 1), 512), numbers(512, 2));
        let rounded = q8::Q8::round(1, 512, |_, part| Cow::Borrowed(&x[part])).as_slice().widened(0..1);
        let expected: f32 = w.widened(0..1).iter().zip(&rounded).map(|(w, x)| w * x).sum();
        assert!((plain_row(w.quad(0), 0, &w.prepare(&x)) - expected).abs() < 2e-3);
    }

    #[test]
    fn zeros_and_what_is_not_a_number_stay_what_they_are() {
        let zeros = rounded(&[0.0; BLOCK], BLOCK);
        assert!(zeros.widened(0..1).iter().all(|value| *value == 0.0));
        let w = rounded(&numbers(BLOCK, 1), BLOCK);
        assert_eq!(w.dot(0, &w.prepare(&[0.0; BLOCK])), 0.0);
        for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = numbers(BLOCK, 2);
            x[40] = strange;
            assert!(!w.dot(0, &w.prepare(&x)).is_finite());
            let broken = rounded(&x, BLOCK);
            assert!(!broken.dot(0, &w.prepare(&numbers(BLOCK, 3))).is_finite());
            assert!(broken.widened(0..1).iter().all(|value| value.is_nan()));
        }
    }
}
