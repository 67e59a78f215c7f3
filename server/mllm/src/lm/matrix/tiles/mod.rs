//! Products with many rows of x: x is brought once into strips as wide as a few registers, and a tile of widened weights is
//! multiplied with one strip after the other. Blocks of columns keep both in the first cache.
//!
//! - `packed`: strips and tiles of any size, and their product.
//! - `kernels`: the sums of a tile with a strip.
//!
//! A row of the product is summed in an order that does not depend on how many rows there are.

#[cfg(target_arch = "x86_64")]
mod kernels;
mod packed;

use std::ops::Range;

use half::bf16;

#[cfg(target_arch = "x86_64")]
use self::kernels::{avx2, avx512};
use self::packed::Packed;
use super::rows::{Dense, widen};

/// Most weight rows that share a walk over x: widened, they are not to fill the second cache.
const GROUP: usize = 96;

/// Whether the processor has what [`Strips`] are written for.
pub(super) fn are_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx512::is_there() || avx2::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Weight rows, a part of which is brought into a tile at a time.
pub(super) trait Parts: Sync {
    /// Numbers of a row.
    fn columns(&self) -> usize;

    /// Writes some columns of a row, which are whole blocks or end with the row, as f32.
    fn copy(&self, row: usize, columns: Range<usize>, into: &mut [f32]);

    /// Asks memory for some columns of a row.
    fn ask(&self, _row: usize, _columns: Range<usize>) {}

    /// Appends rows as f32.
    fn widen(&self, rows: Range<usize>, values: &mut Vec<f32>) {
        let (start, columns) = (values.len(), self.columns());
        values.resize(start + rows.len() * columns, 0.0);
        for (row, into) in rows.zip(values[start..].chunks_exact_mut(columns)) {
            self.copy(row, 0..columns, into);
        }
    }

    /// Rows as f32, `[rows, columns]`.
    #[cfg(test)]
    fn widened(&self, rows: Range<usize>) -> Vec<f32> {
        let mut values = Vec::new();
        self.widen(rows, &mut values);
        values
    }
}

impl Parts for Dense<'_, f32> {
    fn columns(&self) -> usize {
        self.columns
    }

    fn copy(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        into.copy_from_slice(&self.of(row..row + 1)[columns]);
    }
}

impl Parts for Dense<'_, bf16> {
    fn columns(&self) -> usize {
        self.columns
    }

    fn copy(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        for (into, value) in into.iter_mut().zip(&self.of(row..row + 1)[columns]) {
            *into = widen(*value);
        }
    }
}

/// Rows of x in the order in which the processor's tiles read them.
pub(super) enum Strips {
    /// Two registers of AVX-512, and sums that fill 24 of its 32.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Wide(Packed<32, 12>),
    /// Two registers of AVX2, and sums that fill 12 of its 16.
    Narrow(Packed<16, 6>),
}

impl Strips {
    /// Of x `[count, columns]`.
    pub(super) fn new(x: &[f32], columns: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if avx512::is_there() {
            return Self::Wide(Packed::new(x, columns, avx512::add));
        }
        #[cfg(target_arch = "x86_64")]
        if avx2::is_there() {
            return Self::Narrow(Packed::new(x, columns, avx2::add));
        }
        Self::Narrow(Packed::new(x, columns, packed::add))
    }

    /// How many of `rows` weight rows share a walk over x: whole tiles, and for every thread as many such groups.
    pub(super) fn group(&self, rows: usize, threads: usize) -> usize {
        let tile = match self {
            Self::Wide(strips) => strips.tile(),
            Self::Narrow(strips) => strips.tile(),
        };
        let groups = rows.div_ceil(GROUP).next_multiple_of(threads);
        rows.div_ceil(groups).next_multiple_of(tile)
    }

    /// Writes `x wᵀ` for the rows `rows` of the weights `w` into `y`, that many numbers for each row of x, by the calling
    /// thread.
    pub(super) fn times(&self, w: &(impl Parts + ?Sized), rows: Range<usize>, y: &mut [&mut [f32]]) {
        match self {
            Self::Wide(strips) => strips.times(w, rows, y),
            Self::Narrow(strips) => strips.times(w, rows, y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_as_much_to_do_and_tiles_are_whole() {
        let strips = [
            Strips::Narrow(Packed::new(&[0.0; 4], 4, packed::add)),
            Strips::Wide(Packed::new(&[0.0; 4], 4, packed::add)),
        ];
        for (strips, tile) in strips.iter().zip([6, 12]) {
            for (rows, threads) in [(1, 1), (256, 2), (256, 16), (512, 3), (11_008, 2), (151_936, 7)] {
                let group = strips.group(rows, threads);
                assert!(
                    group % tile == 0 && group <= GROUP.next_multiple_of(tile),
                    "{rows} {threads}: {group}"
                );
                let most = rows.div_ceil(group).div_ceil(threads) * group;
                assert!(
                    most <= rows.div_ceil(threads) + rows.div_ceil(threads) / 8 + 2 * tile,
                    "{rows} {threads}: {most}"
                );
            }
        }
    }
}
