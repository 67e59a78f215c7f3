//! Rows four by four: pieces of four rows lie side by side, so that a product with them reads memory from front to back, which
//! processors do fastest by themselves.

use rayon::prelude::*;

use super::rows::TOGETHER;
use crate::ops::large_pages;

/// Rows that lie together.
pub(super) const QUAD: usize = TOGETHER;

/// `[rows / QUAD, pieces, QUAD]`; what is missing of the last four rows is filled up.
#[derive(Debug, Clone)]
pub(super) struct Quads<T> {
    /// Of a row.
    pieces: usize,
    values: Vec<[T; QUAD]>,
}

impl<T: Copy + Send + Sync> Quads<T> {
    /// Rows of `pieces` pieces, all of them `piece`.
    pub(super) fn new(rows: usize, pieces: usize, piece: T) -> Self {
        let len = rows.div_ceil(QUAD) * pieces;
        let mut values = large_pages::with_room(len);
        values.par_extend(rayon::iter::repeat_n([piece; QUAD], len));
        Self { pieces, values }
    }

    /// Four rows, of which `row` is one: `[pieces, QUAD]`.
    #[inline]
    pub(super) fn around(&self, row: usize) -> &[[T; QUAD]] {
        let first = row / QUAD * self.pieces;
        &self.values[first..first + self.pieces]
    }

    /// All rows, four by four.
    pub(super) fn par_iter_mut(&mut self) -> impl IndexedParallelIterator<Item = &mut [[T; QUAD]]> {
        self.values.par_chunks_exact_mut(self.pieces)
    }

    /// Appends the rows of another whose rows are as long. The last four of this one have to be whole.
    pub(super) fn extend(&mut self, other: &Self) {
        let mut both = large_pages::with_room(self.values.len() + other.values.len());
        both.par_extend(&self.values);
        both.par_extend(&other.values);
        self.values = both;
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    /// Brings them into large pages.
    pub(super) fn gather(&self) {
        large_pages::gather(&self.values);
    }
}

/// Lets `rows` rows be written, in threads: `write` is given a row and the four rows of each kind that it is one of.
pub(super) fn write_rows<A, B>(
    rows: usize,
    (a, b): (&mut Quads<A>, &mut Quads<B>),
    write: impl Fn(usize, &mut [[A; QUAD]], &mut [[B; QUAD]]) + Sync,
) where
    A: Copy + Send + Sync,
    B: Copy + Send + Sync,
{
    a.par_iter_mut().zip(b.par_iter_mut()).enumerate().for_each(|(quad, (a, b))| {
        for row in quad * QUAD..rows.min((quad + 1) * QUAD) {
            write(row, a, b);
        }
    });
}

/// Sums of products of four rows with all of x, `[QUAD, x]`, where there is a kernel for one of x and one for two: what is
/// loaded of the weights serves both.
#[inline(always)]
pub(super) fn by_pairs<X>(
    x: &[X],
    sums: &mut [f32],
    two: impl Fn(&[X; 2]) -> [[f32; 2]; QUAD],
    one: impl Fn(&[X; 1]) -> [[f32; 1]; QUAD],
) {
    fn put<const M: usize>(of_rows: [[f32; M]; QUAD], first: usize, sums: &mut [f32]) {
        let count = sums.len() / QUAD;
        for (sums, of_row) in sums.chunks_exact_mut(count).zip(of_rows) {
            sums[first..first + M].copy_from_slice(&of_row);
        }
    }
    let (pairs, last) = x.as_chunks::<2>();
    for (nth, pair) in pairs.iter().enumerate() {
        put(two(pair), 2 * nth, sums);
    }
    for last in last.as_chunks::<1>().0 {
        put(one(last), x.len() - 1, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_four_rows_lie_side_by_side() {
        let mut quads = Quads::new(6, 3, 0);
        quads.par_iter_mut().enumerate().for_each(|(nth, quad)| {
            for (piece, of_rows) in quad.iter_mut().enumerate() {
                *of_rows = std::array::from_fn(|row| (nth * QUAD + row) * 10 + piece);
            }
        });
        assert_eq!(quads.around(5), [[40, 50, 60, 70], [41, 51, 61, 71], [42, 52, 62, 72]]);
        assert_eq!(quads.bytes(), 8 * 3 * size_of::<usize>());
        quads.extend(&Quads::new(1, 3, 7));
        assert_eq!(quads.around(8), [[7; QUAD]; 3]);
    }
}
