//! Rows cut into stretches. A row of x lies in the first cache while it is multiplied with one row of weights after the
//! other, if what passes through the cache between leaves it there: a long one does not, and then keeps the processor from
//! reading weights on ahead. So long rows are kept as several matrices side by side, each as wide as a stretch, and a thread
//! multiplies some rows of one of them before the same rows of the next.

use std::ops::Range;

use super::rows::Rows;
use super::tiles::Parts;
use crate::ops::rows::add;

/// Columns of stretches of about as many units, of at most `most` columns each.
pub(super) fn cut(columns: usize, most: usize, unit: usize) -> Vec<Range<usize>> {
    let units = columns.div_ceil(unit);
    let stretches = (units * unit).div_ceil(most).max(1);
    let width = units.div_ceil(stretches).max(1) * unit;
    (0..columns).step_by(width).map(|first| first..columns.min(first + width)).collect()
}

/// All rows of x `[count, columns]` as they are multiplied, by stretch.
pub(super) fn prepared<'x, R: Rows + Parts>(stretches: &[R], x: &'x [f32]) -> Vec<Vec<R::X<'x>>> {
    let columns = stretches.columns();
    let of_stretch = |(stretch, place): (&R, Range<usize>)| {
        x.chunks_exact(columns).map(|x| stretch.prepare(&x[place.clone()])).collect()
    };
    placed(stretches).map(of_stretch).collect()
}

/// Writes the products of some rows with all of x to `y` `[rows, x]`.
pub(super) fn multiply<R: Rows>(stretches: &[R], rows: Range<usize>, x: &[Vec<R::X<'_>>], y: &mut [f32]) {
    let mut stretches = stretches.iter().zip(x);
    if let Some((first, x)) = stretches.next() {
        first.multiply(rows.clone(), x, y);
    }
    for (next, x) in stretches {
        let mut more = vec![0.0; y.len()];
        next.multiply(rows.clone(), x, &mut more);
        add(y, &more);
    }
}

/// The stretches, and which columns of all they hold.
fn placed<W: Parts>(stretches: &[W]) -> impl Iterator<Item = (&W, Range<usize>)> {
    let mut first = 0;
    stretches.iter().map(move |stretch| {
        let place = first..first + stretch.columns();
        first = place.end;
        (stretch, place)
    })
}

/// The stretches that hold some columns, and where they do.
fn within<W: Parts>(stretches: &[W], columns: Range<usize>) -> impl Iterator<Item = (&W, Range<usize>)> {
    placed(stretches).filter_map(move |(stretch, place)| {
        let here = |column: usize| column.clamp(place.start, place.end) - place.start;
        let part = here(columns.start)..here(columns.end);
        (!part.is_empty()).then_some((stretch, part))
    })
}

/// Side by side.
impl<W: Parts> Parts for [W] {
    fn columns(&self) -> usize {
        self.iter().map(Parts::columns).sum()
    }

    fn copy(&self, row: usize, columns: Range<usize>, mut into: &mut [f32]) {
        for (stretch, part) in within(self, columns) {
            let Some(here) = into.split_off_mut(..part.len()) else { return };
            stretch.copy(row, part, here);
        }
    }

    fn ask(&self, row: usize, columns: Range<usize>) {
        for (stretch, part) in within(self, columns) {
            stretch.ask(row, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Dense;
    use super::super::tests::numbers;
    use super::*;

    #[test]
    fn stretches_are_about_as_long_and_of_whole_units() {
        let widths = |columns, most, unit| -> Vec<usize> {
            cut(columns, most, unit).into_iter().map(|stretch| stretch.len()).collect()
        };
        assert_eq!(widths(2_048, 2_048, 128), [2_048]);
        assert_eq!(widths(11_008, 2_048, 128), [1_920, 1_920, 1_920, 1_920, 1_920, 1_408]);
        assert_eq!(widths(11_008, 4_096, 512), [4_096, 4_096, 2_816]);
        assert_eq!(widths(96, 4_096, 512), [96], "less than a unit");
        assert_eq!(widths(3_584, 2_048, 128), [1_792, 1_792]);
        assert!(widths(0, 2_048, 128).is_empty());
    }

    #[test]
    fn columns_are_taken_from_the_stretches_that_hold_them() {
        let values = [numbers(3 * 4, 1), numbers(3 * 2, 2), numbers(3 * 5, 3)];
        let stretches = [(&values[0], 4), (&values[1], 2), (&values[2], 5)]
            .map(|(values, columns)| Dense { values, columns });
        let row: Vec<f32> = [&values[0][4..8], &values[1][2..4], &values[2][5..10]].concat();
        assert_eq!(stretches.as_slice().columns(), 11);
        for columns in [0..11, 0..4, 3..5, 4..6, 3..9, 10..11, 5..5] {
            let mut some = vec![f32::NAN; columns.len()];
            stretches.as_slice().copy(1, columns.clone(), &mut some);
            assert_eq!(some, row[columns]);
        }
    }

    #[test]
    fn sums_of_stretches_are_added() {
        let (left, right) = (numbers(7 * 8, 1), numbers(7 * 4, 2));
        let stretches = [Dense { values: &left[..], columns: 8 }, Dense { values: &right[..], columns: 4 }];
        let x = numbers(2 * 12, 3);
        let prepared = prepared(&stretches, &x);
        let mut y = vec![f32::NAN; 5 * 2];
        multiply(&stretches, 1..6, &prepared, &mut y);
        for (row, y) in (1..6).zip(y.chunks_exact(2)) {
            let mut of_row = vec![0.0; 12];
            stretches.as_slice().copy(row, 0..12, &mut of_row);
            for (y, x) in y.iter().zip(x.chunks_exact(12)) {
                let expected: f32 = of_row.iter().zip(x).map(|(w, x)| w * x).sum();
                assert!((y - expected).abs() < 1e-5);
            }
        }
    }
}
