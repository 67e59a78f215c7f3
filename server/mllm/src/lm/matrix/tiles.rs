//! Products with many rows of x on AVX-512: x is brought once into strips as wide as two registers, and a tile of widened
//! weights is multiplied with one strip after the other. Blocks of columns keep both in the first cache.
//!
//! A row of the product is summed in an order that does not depend on how many rows there are.

use rayon::prelude::*;

/// Numbers of a register.
const WIDTH: usize = 16;
/// Rows of x in a strip: two registers. Where a strip has no more than one register's rows, only that is computed.
const LANES: usize = 2 * WIDTH;
/// Weight rows of a tile: their sums fill 24 of the 32 registers.
const TILE: usize = 12;
/// Columns of a block: its part of a strip has 32 KiB, its part of a tile 12.
const BLOCK: usize = 256;
/// Weight rows that share a walk over x.
pub(super) const GROUP: usize = 8 * TILE;

/// A column of [`LANES`] rows of x, or a weight row's sums with them.
type Strip = [f32; LANES];
/// Sums of a tile with a strip.
type Sums = [Strip; TILE];

/// Whether the processor has what [`Strips::times`] is written for.
pub(super) fn are_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Rows of x, strip by strip and in them column by column. The last strip is filled up with zeros.
pub(super) struct Strips {
    columns: usize,
    count: usize,
    values: Vec<Strip>,
}

impl Strips {
    /// Of x `[count, columns]`.
    pub(super) fn new(x: &[f32], columns: usize) -> Self {
        let mut values = vec![[0.0; LANES]; x.len().div_ceil(LANES * columns) * columns];
        values.par_chunks_exact_mut(columns).zip(x.par_chunks(LANES * columns)).for_each(|(strip, rows)| {
            // Few columns at a time, so that they stay in the first cache while all rows are written to them.
            for (nth, strip) in strip.chunks_mut(BLOCK / 4).enumerate() {
                for (lane, row) in rows.chunks_exact(columns).enumerate() {
                    let row = &row[nth * (BLOCK / 4)..];
                    for (strip, x) in strip.iter_mut().zip(row) {
                        strip[lane] = *x;
                    }
                }
            }
        });
        Self { columns, count: x.len() / columns, values }
    }

    /// `x wᵀ` `[count, rows]` for weights `[rows, columns]`, by the calling thread.
    pub(super) fn times(&self, w: &[f32]) -> Vec<f32> {
        let (columns, rows) = (self.columns, w.len() / self.columns);
        let strips = self.values.len() / columns;
        // [tile, strip]
        let mut sums: Vec<Sums> = vec![[[0.0; LANES]; TILE]; rows.div_ceil(TILE) * strips];
        let mut tile = [[0.0; BLOCK]; TILE];
        for start in (0..columns).step_by(BLOCK) {
            let end = columns.min(start + BLOCK);
            for (w, sums) in w.chunks(TILE * columns).zip(sums.chunks_exact_mut(strips)) {
                for (kept, row) in tile.iter_mut().zip(w.chunks_exact(columns)) {
                    kept[..end - start].copy_from_slice(&row[start..end]);
                }
                for (nth, (sums, strip)) in sums.iter_mut().zip(self.values.chunks_exact(columns)).enumerate()
                {
                    let strip = &strip[start..end];
                    if self.count - nth * LANES > WIDTH {
                        add::<2>(sums, &tile, strip);
                    } else {
                        add::<1>(sums, &tile, strip);
                    }
                }
            }
        }
        self.by_row(&sums, rows)
    }

    /// Sums `[tile, strip]` as `[count, rows]`.
    fn by_row(&self, sums: &[Sums], rows: usize) -> Vec<f32> {
        let strips = self.values.len() / self.columns;
        let mut y = vec![0.0; self.count * rows];
        for (tile, sums) in sums.chunks_exact(strips).enumerate() {
            let first = tile * TILE;
            for (sums, y) in sums.iter().zip(y.chunks_mut(LANES * rows)) {
                for (lane, y) in y.chunks_exact_mut(rows).enumerate() {
                    for (y, sums) in y[first..].iter_mut().zip(sums) {
                        *y = sums[lane];
                    }
                }
            }
        }
        y
    }
}

/// Adds the products of a tile with the first registers of a strip, both of the same columns.
#[inline]
fn add<const REGISTERS: usize>(sums: &mut Sums, tile: &[[f32; BLOCK]; TILE], strip: &[Strip]) {
    #[cfg(target_arch = "x86_64")]
    if are_fast() {
        // SAFETY: the processor has AVX-512.
        #[allow(unsafe_code)]
        unsafe {
            return avx512::add::<REGISTERS>(sums, tile, strip);
        }
    }
    for (at, x) in strip.iter().enumerate().take(BLOCK) {
        for (sums, w) in sums.iter_mut().zip(tile) {
            for (sum, x) in sums.iter_mut().zip(&x[..REGISTERS * WIDTH]) {
                *sum += w[at] * x;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{BLOCK, Strip, Sums, TILE, WIDTH};

    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f")]
    pub(super) fn add<const REGISTERS: usize>(sums: &mut Sums, tile: &[[f32; BLOCK]; TILE], strip: &[Strip]) {
        const { assert!(REGISTERS * WIDTH <= super::LANES, "a strip has no more") };
        let mut kept = [[_mm512_setzero_ps(); REGISTERS]; TILE];
        // SAFETY: every load and store is of a register's numbers within an array of at least as many.
        unsafe {
            for (kept, sums) in kept.iter_mut().zip(sums.iter()) {
                *kept = std::array::from_fn(|nth| _mm512_loadu_ps(sums.as_ptr().add(nth * WIDTH)));
            }
            for (at, x) in strip.iter().enumerate().take(BLOCK) {
                let x: [_; REGISTERS] =
                    std::array::from_fn(|nth| _mm512_loadu_ps(x.as_ptr().add(nth * WIDTH)));
                for (kept, w) in kept.iter_mut().zip(tile) {
                    let w = _mm512_set1_ps(w[at]);
                    for (kept, x) in kept.iter_mut().zip(x) {
                        *kept = _mm512_fmadd_ps(w, x, *kept);
                    }
                }
            }
            for (kept, sums) in kept.iter().zip(sums.iter_mut()) {
                for (nth, kept) in kept.iter().enumerate() {
                    _mm512_storeu_ps(sums.as_mut_ptr().add(nth * WIDTH), *kept);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expected, numbers};
    use super::*;

    #[test]
    fn sizes_that_fill_no_strip_tile_or_block_give_the_product() {
        for (count, rows, columns) in [
            (1, 1, 1),
            (16, 25, 70),
            (17, 13, 70),
            (40, 12, 9),
            (33, 12, 256),
            (64, 25, 300),
            (70, 96, 1_024),
        ] {
            let (x, w) = (numbers(count * columns, 1), numbers(rows * columns, 2));
            let y = Strips::new(&x, columns).times(&w);
            assert_eq!(y.len(), count * rows);
            for (y, expected) in y.iter().zip(expected(&w, &x, rows, columns)) {
                assert!(
                    (y - expected).abs() < 1e-4 + 1e-5 * expected.abs(),
                    "{count} {rows} {columns}: {y} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let (columns, rows) = (300, 30);
        let (x, w) = (numbers(70 * columns, 3), numbers(rows * columns, 4));
        let together = Strips::new(&x, columns).times(&w);
        for (x, together) in x.chunks(columns).zip(together.chunks(rows)) {
            assert_eq!(Strips::new(x, columns).times(&w), together);
        }
    }
}
