//! Strips and tiles of any size.

use rayon::prelude::*;

/// Columns of a block: its part of a strip has 16 or 32 KiB, its part of a tile 6 or 12.
pub(super) const BLOCK: usize = 256;

/// A column of a strip's rows of x, or a weight row's sums with them.
pub(super) type Strip<const LANES: usize> = [f32; LANES];
/// Sums of a tile with a strip.
pub(super) type Sums<const LANES: usize, const TILE: usize> = [Strip<LANES>; TILE];
/// A block of a tile's weight rows.
pub(super) type Tile<const TILE: usize> = [[f32; BLOCK]; TILE];
/// Adds to the sums the products of a tile with a strip's first `rows` rows, at least; both begin with the same column,
/// and the strip has at most [`BLOCK`] columns.
pub(super) type Add<const LANES: usize, const TILE: usize> =
    fn(&mut Sums<LANES, TILE>, &Tile<TILE>, &[Strip<LANES>], rows: usize);

/// Rows of x, strip by strip and in them column by column. The last strip is filled up with zeros.
pub(in super::super) struct Packed<const LANES: usize, const TILE: usize> {
    columns: usize,
    count: usize,
    values: Vec<Strip<LANES>>,
    add: Add<LANES, TILE>,
}

impl<const LANES: usize, const TILE: usize> Packed<LANES, TILE> {
    /// Of x `[count, columns]`.
    pub(super) fn new(x: &[f32], columns: usize, add: Add<LANES, TILE>) -> Self {
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
        Self { columns, count: x.len() / columns, values, add }
    }

    /// Weight rows of a tile.
    pub(super) const fn tile(&self) -> usize {
        TILE
    }

    /// `x wᵀ` `[count, rows]` for weights `[rows, columns]`, by the calling thread.
    pub(super) fn times(&self, w: &[f32]) -> Vec<f32> {
        let (columns, rows) = (self.columns, w.len() / self.columns);
        let strips = self.values.len() / columns;
        // [tile, strip]
        let mut sums: Vec<Sums<LANES, TILE>> = vec![[[0.0; LANES]; TILE]; rows.div_ceil(TILE) * strips];
        let mut tile = [[0.0; BLOCK]; TILE];
        for start in (0..columns).step_by(BLOCK) {
            let end = columns.min(start + BLOCK);
            for (w, sums) in w.chunks(TILE * columns).zip(sums.chunks_exact_mut(strips)) {
                for (kept, row) in tile.iter_mut().zip(w.chunks_exact(columns)) {
                    kept[..end - start].copy_from_slice(&row[start..end]);
                }
                for (nth, (sums, strip)) in sums.iter_mut().zip(self.values.chunks_exact(columns)).enumerate()
                {
                    (self.add)(sums, &tile, &strip[start..end], self.count - nth * LANES);
                }
            }
        }
        self.by_row(&sums, rows)
    }

    /// Sums `[tile, strip]` as `[count, rows]`.
    fn by_row(&self, sums: &[Sums<LANES, TILE>], rows: usize) -> Vec<f32> {
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

/// The definition, for processors without a kernel of their own.
pub(super) fn add<const LANES: usize, const TILE: usize>(
    sums: &mut Sums<LANES, TILE>,
    tile: &Tile<TILE>,
    strip: &[Strip<LANES>],
    _rows: usize,
) {
    for (at, x) in strip.iter().enumerate().take(BLOCK) {
        for (sums, w) in sums.iter_mut().zip(tile) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += w[at] * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{expected, numbers};
    use super::*;

    /// Products by the definition, and with every kernel that this processor has.
    fn products(x: &[f32], w: &[f32], columns: usize) -> Vec<Vec<f32>> {
        let mut products = vec![
            Packed::<16, 6>::new(x, columns, add).times(w),
            Packed::<32, 12>::new(x, columns, add).times(w),
        ];
        #[cfg(target_arch = "x86_64")]
        if super::super::kernels::avx2::is_there() {
            products.push(Packed::new(x, columns, super::super::kernels::avx2::add).times(w));
        }
        #[cfg(target_arch = "x86_64")]
        if super::super::kernels::avx512::is_there() {
            products.push(Packed::new(x, columns, super::super::kernels::avx512::add).times(w));
        }
        products
    }

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
            let expected = expected(&w, &x, rows, columns);
            for (nth, y) in products(&x, &w, columns).into_iter().enumerate() {
                assert_eq!(y.len(), count * rows);
                for (y, expected) in y.iter().zip(&expected) {
                    assert!(
                        (y - expected).abs() < 1e-4 + 1e-5 * expected.abs(),
                        "kernel {nth}: {count} {rows} {columns}: {y} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let (columns, rows) = (300, 30);
        let (x, w) = (numbers(70 * columns, 3), numbers(rows * columns, 4));
        let together = products(&x, &w, columns);
        for (nth, x) in x.chunks(columns).enumerate() {
            for (alone, together) in products(x, &w, columns).iter().zip(&together) {
                assert_eq!(alone, &together[nth * rows..(nth + 1) * rows]);
            }
        }
    }
}
