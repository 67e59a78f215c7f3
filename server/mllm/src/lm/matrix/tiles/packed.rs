//! Strips and tiles of any size.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::Parts;

/// Columns of a block: its part of a strip has 16 or 32 KiB, its part of a tile 6 or 12.
pub(super) const BLOCK: usize = 256;

/// A column of a strip's rows of x, or a weight row's sums with them.
pub(super) type Strip<const LANES: usize> = [f32; LANES];
/// Sums of a tile with a strip.
pub(super) type Sums<const LANES: usize, const TILE: usize> = [Strip<LANES>; TILE];
/// A block of a tile's weight rows.
pub(super) type Tile<const TILE: usize> = [[f32; BLOCK]; TILE];
/// Adds to the sums, or to zeros where they are `fresh`, the products of a tile with a strip's first `rows` rows, at least;
/// both begin with the same column, and the strip has at most [`BLOCK`] columns.
pub(super) type Add<const LANES: usize, const TILE: usize> =
    fn(&mut Sums<LANES, TILE>, &Tile<TILE>, &[Strip<LANES>], rows: usize, fresh: bool);

/// Blocks of strips that are walked over for one tile after the other.
const WALK: usize = 8;
/// Numbers of x that are brought into strips by one thread, rather than waking up others for them.
const ALONE: usize = 1 << 16;

thread_local! {
    /// A thread's sums: memory that is new each time would have to be cleared.
    static SUMS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

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
        let together = ALONE.div_ceil(LANES * columns);
        let strips = values.par_chunks_exact_mut(columns).zip(x.par_chunks(LANES * columns));
        strips.with_min_len(together).for_each(|(strip, rows)| {
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

    fn strips(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Writes `x wᵀ` for the rows `rows` of the weights `w` into `y`, that many numbers for each row of x, by the calling
    /// thread.
    pub(super) fn times(&self, w: &(impl Parts + ?Sized), rows: Range<usize>, y: &mut [&mut [f32]]) {
        let strips = self.strips();
        let tiles = rows.len().div_ceil(TILE);
        SUMS.with_borrow_mut(|sums| {
            let needed = tiles * strips * TILE * LANES;
            if sums.len() < needed {
                sums.resize(needed, 0.0);
            }
            // [tile, strip]
            let sums = sums[..needed].as_chunks_mut::<LANES>().0.as_chunks_mut::<TILE>().0;
            self.sum(w, rows, sums);
            self.by_row(sums, y);
        });
    }

    fn sum(&self, w: &(impl Parts + ?Sized), rows: Range<usize>, sums: &mut [Sums<LANES, TILE>]) {
        let columns = self.columns;
        let strips = self.strips();
        let mut tile = [[0.0; BLOCK]; TILE];
        // Weights come from far: as long a part of their rows as leaves what is walked over of x in the second cache.
        let span = BLOCK * (WALK / strips).max(1);
        for from in (0..columns).step_by(span) {
            for (first, sums) in rows.clone().step_by(TILE).zip(sums.chunks_exact_mut(strips)) {
                for start in (from..columns.min(from + span)).step_by(BLOCK) {
                    let part = start..columns.min(start + BLOCK);
                    for (row, kept) in (first..rows.end).zip(&mut tile) {
                        // Rows are walked over side by side, each in steps too short for the processor to see where they lead.
                        w.ask(row, part.end..columns.min(part.end + part.len()));
                        w.copy(row, part.clone(), &mut kept[..part.len()]);
                    }
                    let strips = self.values.chunks_exact(columns).map(|strip| &strip[part.clone()]);
                    for (nth, (sums, strip)) in sums.iter_mut().zip(strips).enumerate() {
                        (self.add)(sums, &tile, strip, self.count - nth * LANES, start == 0);
                    }
                }
            }
        }
    }

    /// Brings sums `[tile, strip]` to the rows of x that they belong to.
    fn by_row(&self, sums: &[Sums<LANES, TILE>], y: &mut [&mut [f32]]) {
        let strips = self.strips();
        for (tile, sums) in sums.chunks_exact(strips).enumerate() {
            let first = tile * TILE;
            for (sums, y) in sums.iter().zip(y.chunks_mut(LANES)) {
                for (lane, y) in y.iter_mut().enumerate() {
                    for (y, sums) in y[first..].iter_mut().zip(sums) {
                        *y = sums[lane];
                    }
                }
            }
        }
    }
}

/// The definition, for processors without a kernel of their own.
pub(super) fn add<const LANES: usize, const TILE: usize>(
    sums: &mut Sums<LANES, TILE>,
    tile: &Tile<TILE>,
    strip: &[Strip<LANES>],
    _rows: usize,
    fresh: bool,
) {
    if fresh {
        *sums = [[0.0; LANES]; TILE];
    }
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
    use super::super::super::rows::Dense;
    use super::super::super::tests::{expected, numbers};
    use super::*;

    /// `x wᵀ`, in two parts.
    fn product<const LANES: usize, const TILE: usize>(strips: &Packed<LANES, TILE>, w: &[f32]) -> Vec<f32> {
        let (columns, rows) = (strips.columns, w.len() / strips.columns);
        let mut y = vec![f32::NAN; strips.count * rows];
        let middle = rows / 2;
        let (mut left, mut right): (Vec<_>, Vec<_>) =
            y.chunks_exact_mut(rows).map(|y| y.split_at_mut(middle)).unzip();
        let w = Dense { values: w, columns };
        strips.times(&w, 0..middle, &mut left);
        strips.times(&w, middle..rows, &mut right);
        y
    }

    /// Products by the definition, and with every kernel that this processor has.
    fn products(x: &[f32], w: &[f32], columns: usize) -> Vec<Vec<f32>> {
        let mut products = vec![
            product(&Packed::<16, 6>::new(x, columns, add), w),
            product(&Packed::<32, 12>::new(x, columns, add), w),
        ];
        #[cfg(target_arch = "x86_64")]
        if super::super::kernels::avx2::is_there() {
            products.push(product(&Packed::new(x, columns, super::super::kernels::avx2::add), w));
        }
        #[cfg(target_arch = "x86_64")]
        if super::super::kernels::avx512::is_there() {
            products.push(product(&Packed::new(x, columns, super::super::kernels::avx512::add), w));
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
