//! Weights of bf16 in twelve bits, without loss. The upper byte of a bf16 holds its sign and seven of the eight bits of its
//! exponent, and the weights of a row have few of them: the 16 most frequent get a code of four bits, what has another is
//! kept beside with its place (16 of a million of the pocket's weights). The lower byte stays as it is. Sums are those of
//! bf16 bit for bit, of three quarters of the bytes. (DFloat11, arXiv 2504.11651, spends eleven bits with Huffman codes:
//! one number after the other.)
//!
//! - `avx512`, `avx2`: the product, and rows as f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::quads::{QUAD, Quads};
use super::rows::{Narrow, ask_ahead, prefetch, widen};
#[cfg(target_arch = "x86_64")]
use super::rows::{has_avx2, has_avx512};
use super::stretches::cut;
use super::tiles::Parts;

/// Numbers of a chunk; rows hold whole chunks.
const CHUNK: usize = 2 * HALF;
const HALF: usize = 64;
const CODES: usize = 16;
/// Most numbers of a stretch.
const STRETCH: usize = 2048;
/// Bytes that memory gives at once.
const LINE: usize = 64;
/// One in so many numbers may have no code: more would take longer than they spare.
const MOST_OTHERS: usize = 64;

/// Numbers in the order of [`stored`]: three lines of memory.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Chunk {
    lower: [[u8; HALF]; 2],
    /// Of the first half in the lower bits, of the second in the upper.
    codes: [u8; HALF],
}

impl Chunk {
    const LINES: usize = size_of::<Self>() / LINE;

    /// See [`ask_ahead`].
    #[inline(always)]
    fn ask_ahead(&self) {
        let first = (&raw const *self).cast::<[u8; LINE]>();
        (0..Self::LINES).for_each(|line| ask_ahead(first.wrapping_add(line)));
    }
}

/// The upper byte of a number whose code says nothing.
#[derive(Debug, Clone, Copy)]
struct Other {
    /// Where it is stored in its row.
    place: u32,
    upper: u8,
}

/// The upper bytes that codes stand for.
type Table = [u8; CODES];

/// Weights `[rows, columns]`, a stretch of those of a matrix; `columns` is a multiple of [`CHUNK`].
#[derive(Debug, Clone)]
pub(super) struct B12 {
    columns: usize,
    /// `[rows]`
    tables: Vec<Table>,
    /// `[rows, columns / CHUNK]`
    chunks: Quads<Chunk>,
    others: Vec<Other>,
    /// `[rows]`: where a row's others end.
    ends: Vec<usize>,
}

/// `N` rows of four.
#[derive(Clone, Copy)]
struct Lanes<'a, const N: usize> {
    quad: &'a [[Chunk; QUAD]],
    /// Which of the four is the first.
    first: usize,
    tables: [&'a Table; N],
    /// In the order of their places.
    others: [Others<'a>; N],
}

/// What is not yet passed of a row's others.
#[derive(Clone, Copy)]
struct Others<'a>(&'a [Other]);

impl Others<'_> {
    /// The next in the chunk `chunk` of the row: its place there and its upper byte.
    #[inline(always)]
    fn next(&mut self, chunk: usize) -> Option<(usize, u8)> {
        let (first, rest) = self.0.split_first()?;
        let place = first.place as usize;
        if place / CHUNK > chunk {
            return None;
        }
        self.0 = rest;
        Some((place % CHUNK, first.upper))
    }
}

/// Which number of a chunk is stored at a place. Registers that interleave lower and upper bytes within their quarters
/// then hold neighbours, with the even words and with the odd.
const fn stored(place: usize) -> usize {
    let (half, quarter, second) = (place & HALF, place >> 4 & 3, place >> 3 & 1);
    let (pair, odd) = (place >> 1 & 3, place & 1);
    half | second << 5 | odd << 4 | quarter << 2 | pair
}

impl B12 {
    /// Bf16 of rows of `columns` so, by stretches, where this processor multiplies them as fast as memory gives them and it
    /// takes less memory.
    pub(super) fn pack(values: &[bf16], columns: usize) -> Option<Vec<Self>> {
        if !is_fast() || columns == 0 || !columns.is_multiple_of(CHUNK) {
            return None;
        }
        let stretches = cut(columns, STRETCH, CHUNK).into_iter();
        stretches.map(|stretch| Self::pack_stretch(values, columns, stretch)).collect()
    }

    fn pack_stretch(values: &[bf16], row: usize, stretch: Range<usize>) -> Option<Self> {
        let (rows, columns) = (values.len() / row, stretch.len());
        let empty = Chunk { lower: [[0; HALF]; 2], codes: [0; HALF] };
        let mut chunks = Quads::new(rows, columns / CHUNK, empty);
        let by_quad = chunks.par_iter_mut().zip(values.par_chunks(QUAD * row));
        let beside: Vec<_> = by_quad
            .flat_map_iter(|(quad, values)| {
                let rows = values.chunks_exact(row).enumerate();
                rows.map(|(row, values)| pack_row(&values[stretch.clone()], quad, row))
            })
            .collect();
        let without: usize = beside.iter().map(|(_, others)| others.len()).sum();
        if without > rows * columns / MOST_OTHERS {
            return None;
        }
        let (mut tables, mut others, mut ends) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
        for (table, of_row) in beside {
            tables.push(table);
            others.extend(of_row);
            ends.push(others.len());
        }
        Some(Self { columns, tables, chunks, others, ends })
    }

    /// Bytes that a product reads.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.tables.as_slice())
            + self.chunks.bytes()
            + size_of_val(self.others.as_slice())
            + size_of_val(self.ends.as_slice())
    }

    /// `N` rows from `row` on, all of the same four.
    fn lanes<const N: usize>(&self, row: usize) -> Lanes<'_, N> {
        let others = |row: usize| {
            let first = row.checked_sub(1).map_or(0, |above| self.ends[above]);
            Others(&self.others[first..self.ends[row]])
        };
        Lanes {
            quad: self.chunks.around(row),
            first: row % QUAD,
            tables: std::array::from_fn(|nth| &self.tables[row + nth]),
            others: std::array::from_fn(|nth| others(row + nth)),
        }
    }

    pub(super) fn gather(&self) {
        self.chunks.gather();
    }

    /// Writes some columns of a row, which are whole chunks, as f32.
    fn write(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        let mut row = self.lanes(row);
        let first = columns.start / CHUNK;
        let [Others(others)] = &mut row.others;
        *others = &others[others.partition_point(|other| (other.place as usize) < columns.start)..];
        let (into, _) = into.as_chunks_mut::<CHUNK>();
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            return avx512::write(row, first, into);
        }
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            return avx2::write(row, first, into);
        }
        write(row, first, into);
    }
}

/// Whether this processor has a kernel for them.
pub(super) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_avx512() || has_avx2();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Packs the row that is to be the `row`th of four; gives its table and what has no code.
fn pack_row(values: &[bf16], quad: &mut [[Chunk; QUAD]], row: usize) -> (Table, Vec<Other>) {
    let mut counts = [0u32; 256];
    for value in values {
        counts[usize::from(value.to_bits() >> 8)] += 1;
    }
    let mut uppers: [u8; 256] = std::array::from_fn(|upper| upper as u8);
    uppers.select_nth_unstable_by_key(CODES, |upper| std::cmp::Reverse(counts[usize::from(*upper)]));
    let table: Table = std::array::from_fn(|code| uppers[code]);
    let mut codes = [None; 256];
    for (code, upper) in (0..).zip(table) {
        codes[usize::from(upper)] = Some(code);
    }
    let mut others = Vec::new();
    for (nth, (chunks, values)) in quad.iter_mut().zip(values.as_chunks::<CHUNK>().0).enumerate() {
        let chunk = &mut chunks[row];
        for place in 0..CHUNK {
            let [lower, upper] = values[stored(place)].to_bits().to_le_bytes();
            chunk.lower[place / HALF][place % HALF] = lower;
            let code: u8 = codes[usize::from(upper)].unwrap_or_else(|| {
                others.push(Other { place: (nth * CHUNK + place) as u32, upper });
                0
            });
            chunk.codes[place % HALF] |= code << (place / HALF * 4);
        }
    }
    (table, others)
}

/// The definition: chunks from `first` on as f32.
fn write(mut row: Lanes<1>, first: usize, into: &mut [[f32; CHUNK]]) {
    let ([table], [others]) = (row.tables, &mut row.others);
    for (nth, (chunks, into)) in (first..).zip(row.quad[first..].iter().zip(into)) {
        let chunk = &chunks[row.first];
        let code = |place: usize| chunk.codes[place % HALF] >> (place / HALF * 4) & 15;
        let mut upper: [u8; CHUNK] = std::array::from_fn(|place| table[usize::from(code(place))]);
        while let Some((place, byte)) = others.next(nth) {
            upper[place] = byte;
        }
        for (place, (lower, upper)) in chunk.lower.as_flattened().iter().zip(upper).enumerate() {
            into[stored(place)] = widen(bf16::from_bits(u16::from_le_bytes([*lower, upper])));
        }
    }
}

impl Narrow for B12 {
    fn sums<const N: usize, const M: usize>(&self, row: usize, x: [&[f32]; M]) -> [[f32; M]; N] {
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            return avx512::sums(self.lanes::<N>(row), x);
        }
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            return avx2::sums(self.lanes::<N>(row), x);
        }
        std::array::from_fn(|nth| {
            let mut wide = vec![[0.0; CHUNK]; self.columns / CHUNK];
            write(self.lanes(row + nth), 0, &mut wide);
            x.map(|x| crate::ops::rows::dot(wide.as_flattened(), x))
        })
    }
}

impl Parts for B12 {
    fn columns(&self) -> usize {
        self.columns
    }

    fn copy(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        self.write(row, columns, into);
    }

    fn ask(&self, row: usize, columns: Range<usize>) {
        for chunk in &self.chunks.around(row)[columns.start / CHUNK..columns.end / CHUNK] {
            let chunk = (&raw const chunk[row % QUAD]).cast::<[u8; LINE]>();
            (0..Chunk::LINES).for_each(|line| prefetch(chunk.wrapping_add(line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Dense;
    use super::super::tests::numbers;
    use super::*;

    /// Rows with numbers of every size, and a zero.
    fn values(rows: usize, columns: usize) -> Vec<bf16> {
        let mut values: Vec<_> = numbers(rows * columns, 1).into_iter().map(bf16::from_f32).collect();
        for (nth, value) in values.iter_mut().enumerate().step_by(97) {
            let scale = 2f32.powi((nth % 61) as i32 - 30);
            *value = bf16::from_f32(value.to_f32() * scale);
        }
        values[columns - 1] = bf16::ZERO;
        values
    }

    /// Rows that are one stretch.
    fn packed(values: &[bf16], columns: usize) -> Option<B12> {
        let mut stretches = B12::pack(values, columns)?;
        assert_eq!(stretches.len(), 1);
        stretches.pop()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    type Write = fn(Lanes<1>, usize, &mut [[f32; CHUNK]]);

    /// Rows as f32 with every kernel that this processor has, and by the definition.
    fn all_written(packed: &B12, rows: usize) -> Vec<Vec<f32>> {
        let chunks = packed.columns / CHUNK;
        let mut ways: Vec<Write> = vec![write];
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            ways.push(avx2::write);
        }
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            ways.push(avx512::write);
        }
        let by = |way: &Write| {
            let mut wide = vec![[f32::NAN; CHUNK]; rows * chunks];
            for (row, wide) in wide.chunks_exact_mut(chunks).enumerate() {
                way(packed.lanes(row), 0, wide);
            }
            wide.as_flattened().to_vec()
        };
        ways.iter().map(by).collect()
    }

    #[test]
    fn places_are_where_neighbours_come_together() {
        let mut all: Vec<_> = (0..CHUNK).map(stored).collect();
        assert_eq!(
            [0, 2, 16, 48 + 6].map(|place| all[place]),
            [0, 1, 4, 15],
            "even words of the first bytes"
        );
        assert_eq!([1, 3, 17, 48 + 7].map(|place| all[place]), [16, 17, 20, 31], "odd ones");
        assert_eq!([8, 9, 64].map(|place| all[place]), [32, 48, 64]);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..CHUNK));
    }

    #[test]
    fn every_number_is_kept_as_it_is() {
        let (rows, columns) = (9, 1_152);
        let mut values = values(rows, columns);
        values[3..6].copy_from_slice(&[bf16::NAN, bf16::NEG_INFINITY, bf16::from_bits(0xffab)]);
        let Some(packed) = packed(&values, columns) else {
            assert!(!is_fast());
            return;
        };
        assert!(!packed.others.is_empty() && packed.others.len() < rows * columns / MOST_OTHERS);
        let wide: Vec<f32> = values.iter().copied().map(widen).collect();
        for written in all_written(&packed, rows) {
            assert_eq!(bits(&written), bits(&wide));
        }
        assert_eq!(bits(&packed.widened(2..7)), bits(&wide[2 * columns..7 * columns]));
        for part in [0..256, 256..384, 128..256] {
            let mut some = vec![0.0; part.len()];
            packed.copy(4, part.clone(), &mut some);
            assert_eq!(bits(&some), bits(&wide[4 * columns..][part]));
        }
    }

    #[test]
    fn sums_are_those_of_bf16_bit_for_bit() {
        for columns in [128, 256, 1_152] {
            let values = values(5, columns);
            let Some(packed) = packed(&values, columns) else { continue };
            let x = numbers(3 * columns, 3);
            let x = [0, 1, 2].map(|nth| &x[nth * columns..(nth + 1) * columns]);
            let dense = Dense { values: &values[..], columns };
            let sums: [[f32; 3]; 2] = packed.sums(1, x);
            let expected: [[f32; 3]; 2] = dense.sums(1, x);
            assert_eq!(sums.map(|sums| bits(&sums)), expected.map(|sums| bits(&sums)));
            // The best that the processor has was asked; what is below it has to be right as well.
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                let below: [[f32; 3]; 2] = avx2::sums(packed.lanes::<2>(1), x);
                for (sum, expected) in below.as_flattened().iter().zip(expected.as_flattened()) {
                    assert!((sum - expected).abs() <= 1e-4 * (1.0 + expected.abs()), "{columns}: {sum}");
                }
            }
        }
    }

    #[test]
    fn what_takes_no_less_memory_stays_bf16() {
        let all_sizes: Vec<_> = (0..256).map(|nth| bf16::from_f32(2f32.powi(nth - 120))).collect();
        assert!(B12::pack(&all_sizes, 256).is_none());
        assert!(B12::pack(&values(2, 192), 192).is_none(), "rows of half a chunk");
        assert!(B12::pack(&[], 0).is_none());
        let nothing = vec![bf16::ZERO; 1_024];
        if let Some(packed) = packed(&nothing, 256) {
            assert!(packed.widened(0..4).iter().all(|value| *value == 0.0));
            assert!(packed.bytes() < 1_024 * 2);
        }
    }
}
