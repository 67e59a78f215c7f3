//! Weight matrices as they are kept, and products with them.
//!
//! - `rows`: rows as products read them, in f32 and bf16.
//! - `q8`: eight bits a number.
//! - `q4`: four bits a number.
//! - `q6`: six bits a number, as files have it.
//! - `tiles`: products with many rows of x.
//! - `blocks`: matrices as ggml's files hold them.

mod blocks;
mod q4;
mod q6;
mod q8;
mod rows;
mod tiles;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use candle_core::{Result, bail};
use half::bf16;
use rayon::prelude::*;

pub use self::blocks::Blocks;
use self::q4::Q4;
use self::q8::Q8;
use self::rows::{Dense, Rows, TOGETHER};
use self::tiles::Strips;
use crate::ops::gemm::{Into, Mat, Threads, gemm};

/// Rows of x up to which each weight is read once and used for all of them, every row by itself: what comes out does
/// not depend on how many rows there are.
pub(crate) const FEW: usize = 16;
/// Weight rows that a thread takes at a time.
const ROWS: usize = 32;
/// Weight rows that are widened at a time for a matrix product.
const PANEL: usize = 256;

thread_local! {
    /// A thread's panel: memory that is new each time would cost as much as the widening.
    static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A weight `[rows, columns]` of an affine map from `columns` to `rows` numbers.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    Q8(Q8),
    Q4(Q4),
    /// Matrices of as many columns, one below the other.
    Mixed(Vec<Matrix>),
}

impl Matrix {
    /// A matrix of f32.
    ///
    /// # Errors
    /// When the values do not fill the shape.
    pub fn f32(values: Vec<f32>, shape: [usize; 2]) -> Result<Self> {
        Self::new(values.len(), shape, Values::F32(values))
    }

    /// A matrix of bf16.
    ///
    /// # Errors
    /// When the values do not fill the shape.
    pub fn bf16(values: Vec<bf16>, shape: [usize; 2]) -> Result<Self> {
        Self::new(values.len(), shape, Values::Bf16(values))
    }

    fn new(len: usize, [rows, columns]: [usize; 2], values: Values) -> Result<Self> {
        if rows == 0 || columns == 0 || len != rows * columns {
            bail!("{len} values do not fill a matrix of {rows} rows and {columns} columns");
        }
        Ok(Self { rows, columns, values })
    }

    /// The matrix rounded to eight bits a number with a scale for every 32 (Q8_0); one that is kept in as few bits, or
    /// whose rows are no multiple of 32, stays as it is.
    #[must_use]
    pub fn in_eight_bits(self) -> Self {
        match self.values {
            Values::Mixed(parts) => {
                let parts = parts.into_iter().map(Self::in_eight_bits).collect();
                Self { values: Values::Mixed(parts), ..self }
            }
            Values::F32(_) | Values::Bf16(_) if Q8::fits(self.columns) => {
                let rounded = Q8::round(self.rows, self.columns, |rows| self.widened(rows));
                Self { values: Values::Q8(rounded), ..self }
            }
            _ => self,
        }
    }

    /// The matrix with `change` `[rows, columns]` added to it, in the numbers in which it is kept.
    ///
    /// # Errors
    /// When the numbers do not fill the matrix, or it is kept in rounded blocks.
    pub fn plus(mut self, change: &[f32]) -> Result<Self> {
        if change.len() != self.rows * self.columns {
            bail!("{} numbers do not fill {} rows of {}", change.len(), self.rows, self.columns);
        }
        match &mut self.values {
            Values::F32(values) => crate::ops::rows::add(values, change),
            Values::Bf16(values) => {
                for (value, change) in values.iter_mut().zip(change) {
                    *value = bf16::from_f32(value.to_f32() + change);
                }
            }
            _ => bail!("weights that are already rounded to few bits cannot be changed"),
        }
        Ok(self)
    }

    /// The matrix rounded to four bits a number (Q4_K); one whose rows are no multiple of 256 is rounded to eight bits
    /// where that can be.
    #[must_use]
    pub fn in_four_bits(self) -> Self {
        match self.values {
            Values::Mixed(parts) => {
                let parts = parts.into_iter().map(Self::in_four_bits).collect();
                Self { values: Values::Mixed(parts), ..self }
            }
            Values::Q4(_) => self,
            _ if Q4::fits(self.columns) => {
                let rounded = Q4::round(self.rows, self.columns, |rows| self.widened(rows));
                Self { values: Values::Q4(rounded), ..self }
            }
            _ => self.in_eight_bits(),
        }
    }

    /// Matrices of as many columns, one below the other. Each keeps its numbers as they are.
    ///
    /// # Errors
    /// When their columns differ.
    pub fn stack(parts: Vec<Self>) -> Result<Self> {
        let columns = parts.first().map_or(0, |part| part.columns);
        if parts.iter().any(|part| part.columns != columns) {
            bail!("matrices of different widths cannot be stacked");
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        let mut stacked: Vec<Self> = Vec::new();
        for part in parts {
            if let Some(other) = stacked.pop() {
                stacked.extend(other.joined(part));
            } else {
                stacked.push(part);
            }
        }
        match stacked.len() {
            0 => bail!("there are no matrices to stack"),
            1 => Ok(stacked.remove(0)),
            _ => Ok(Self { rows, columns, values: Values::Mixed(stacked) }),
        }
    }

    /// One matrix where both are kept alike, else both.
    fn joined(mut self, below: Self) -> Vec<Self> {
        match (&mut self.values, below.values) {
            (Values::F32(values), Values::F32(below)) => values.extend(below),
            (Values::Bf16(values), Values::Bf16(below)) => values.extend(below),
            (Values::Q8(values), Values::Q8(below)) => values.extend(below),
            (Values::Q4(values), Values::Q4(below)) => values.extend(below),
            (_, values) => return vec![self, Self { values, ..below }],
        }
        self.rows += below.rows;
        vec![self]
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that a product reads.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => size_of_val(values.as_slice()),
            Values::Bf16(values) => size_of_val(values.as_slice()),
            Values::Q8(values) => values.bytes(),
            Values::Q4(values) => values.bytes(),
            Values::Mixed(parts) => parts.iter().map(Self::bytes).sum(),
        }
    }

    /// All values as f32, `[rows, columns]`.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.widened(0..self.rows).into_owned()
    }

    /// The numbers, row by row, rounded to bf16 where they are others.
    pub(crate) fn into_bf16(self) -> Vec<bf16> {
        match self.values {
            Values::Bf16(values) => values,
            _ => self.widened(0..self.rows).par_iter().copied().map(bf16::from_f32).collect(),
        }
    }

    /// Writes a row, widened.
    pub(super) fn copy_row(&self, row: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.widened(row..row + 1));
    }

    fn widened(&self, rows: Range<usize>) -> Cow<'_, [f32]> {
        let columns = self.columns;
        match &self.values {
            Values::F32(values) => Cow::Borrowed(&values[rows.start * columns..rows.end * columns]),
            _ => {
                let mut values = Vec::new();
                self.widen(rows, &mut values);
                Cow::Owned(values)
            }
        }
    }

    /// Appends rows, widened.
    fn widen(&self, rows: Range<usize>, into: &mut Vec<f32>) {
        let columns = self.columns;
        match &self.values {
            Values::F32(values) => Dense { values, columns }.widen(rows, into),
            Values::Bf16(values) => Dense { values, columns }.widen(rows, into),
            Values::Q8(values) => values.widen(rows, into),
            Values::Q4(values) => values.widen(rows, into),
            Values::Mixed(parts) => {
                let mut first = 0;
                for part in parts {
                    let within = |row: usize| row.clamp(first, first + part.rows) - first;
                    part.widen(within(rows.start)..within(rows.end), into);
                    first += part.rows;
                }
            }
        }
    }

    /// `x wᵀ + bias`: x `[n, columns]` becomes `[n, rows]`.
    ///
    /// # Errors
    /// When x is not rows of `columns` numbers, or the bias has not `rows`.
    pub fn product(&self, x: &[f32], bias: Option<&[f32]>) -> Result<Vec<f32>> {
        if !x.len().is_multiple_of(self.columns) || bias.is_some_and(|bias| bias.len() != self.rows) {
            bail!("a map from {} to {} was given {} numbers", self.columns, self.rows, x.len());
        }
        let (count, columns) = (x.len() / self.columns, self.columns);
        let mut y = match (&self.values, count) {
            (Values::F32(values), 0..=FEW) => self.few(&Dense { values, columns }, x),
            (Values::Bf16(values), 0..=FEW) => self.few(&Dense { values, columns }, x),
            (Values::Q8(values), 0..=FEW) => self.few(values, x),
            (Values::Q4(values), 0..=FEW) => self.few(values, x),
            (Values::Mixed(parts), _) => {
                let parts: Result<Vec<_>> = parts.iter().map(|part| part.product(x, None)).collect();
                self.side_by_side(parts?, count)
            }
            _ if tiles::are_fast() => self.by_tiles(x, count),
            (Values::F32(w), _) => {
                let mut y = vec![0.0; count * self.rows];
                let (x, w) = (Mat::new(x, count, self.columns), Mat::new(w, self.rows, self.columns));
                gemm(&mut y, self.rows, Into::Set, 1.0, x, w.t(), Threads::All)?;
                y
            }
            _ => self.by_panels(x, count)?,
        };
        if let Some(bias) = bias {
            for y in y.chunks_exact_mut(self.rows) {
                crate::ops::rows::add(y, bias);
            }
        }
        Ok(y)
    }

    /// Row by row of the weights.
    fn few<R: Rows>(&self, weights: &R, x: &[f32]) -> Vec<f32> {
        let x: Vec<R::X<'_>> = x.chunks_exact(self.columns).map(|x| weights.prepare(x)).collect();
        let count = x.len();
        if count == 0 {
            return Vec::new();
        }
        // [rows, count]: a thread's results lie side by side.
        let mut by_weight = vec![0.0; self.rows * count];
        by_weight.par_chunks_mut(ROWS * count).enumerate().for_each(|(part, y)| {
            let first = part * ROWS;
            let mut together = y.chunks_exact_mut(TOGETHER * count);
            for (nth, y) in together.by_ref().enumerate() {
                for (at, x) in x.iter().enumerate() {
                    for (row, sum) in weights.dots(first + nth * TOGETHER, x).into_iter().enumerate() {
                        y[row * count + at] = sum;
                    }
                }
            }
            let rest = together.into_remainder();
            let last = (first + ROWS).min(self.rows) - rest.len() / count;
            for (nth, y) in rest.chunks_exact_mut(count).enumerate() {
                for (y, x) in y.iter_mut().zip(&x) {
                    *y = weights.dot(last + nth, x);
                }
            }
        });
        if count == 1 {
            return by_weight;
        }
        let mut y = vec![0.0; by_weight.len()];
        for (row, values) in by_weight.chunks_exact(count).enumerate() {
            for (nth, value) in values.iter().enumerate() {
                y[nth * self.rows + row] = *value;
            }
        }
        y
    }

    /// A group of weight rows at a time, widened and multiplied by one thread.
    fn by_tiles(&self, x: &[f32], count: usize) -> Vec<f32> {
        let strips = Strips::new(x, self.columns);
        let groups = (0..self.rows.div_ceil(tiles::GROUP)).into_par_iter().map(|group| {
            let rows = group * tiles::GROUP..self.rows.min((group + 1) * tiles::GROUP);
            if let Values::F32(values) = &self.values {
                return strips.times(Dense { values, columns: self.columns }.of(rows));
            }
            WIDE.with_borrow_mut(|wide| {
                wide.clear();
                self.widen(rows, wide);
                strips.times(wide)
            })
        });
        self.side_by_side(groups.collect(), count)
    }

    /// A panel of weights at a time, widened and multiplied by one thread.
    fn by_panels(&self, x: &[f32], count: usize) -> Result<Vec<f32>> {
        let x = Mat::new(x, count, self.columns);
        let panels = (0..self.rows.div_ceil(PANEL)).into_par_iter().map(|panel| {
            let rows = panel * PANEL..self.rows.min((panel + 1) * PANEL);
            let mut y = vec![0.0; count * rows.len()];
            WIDE.with_borrow_mut(|wide| {
                wide.clear();
                self.widen(rows.clone(), wide);
                let panel = Mat::new(wide, rows.len(), self.columns);
                gemm(&mut y, rows.len(), Into::Set, 1.0, x, panel.t(), Threads::One)
            })?;
            Ok(y)
        });
        Ok(self.side_by_side(panels.collect::<Result<_>>()?, count))
    }

    /// Products `[count, rows]` with matrices that make up this one from above to below.
    fn side_by_side(&self, parts: Vec<Vec<f32>>, count: usize) -> Vec<f32> {
        let mut y = vec![0.0; count * self.rows];
        let mut at = 0;
        for part in parts {
            let rows = part.len().checked_div(count).unwrap_or(0);
            for (y, part) in y.chunks_exact_mut(self.rows).zip(part.chunks_exact(rows.max(1))) {
                y[at..at + rows].copy_from_slice(part);
            }
            at += rows;
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let step = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65_536.0 - 0.5;
        (0..count as u32).map(step).collect()
    }

    /// The definition.
    fn expected(w: &[f32], x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let row =
            |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
        x.chunks(columns)
            .flat_map(|x| w.chunks(columns).map(move |w| row(x, w) as f32))
            .take(rows * x.len())
            .collect()
    }

    #[test]
    fn few_rows_and_many_give_the_product_in_both_number_formats() {
        let (rows, columns) = (303, 70);
        let narrow: Vec<bf16> = numbers(rows * columns, 1).into_iter().map(bf16::from_f32).collect();
        let wide: Vec<f32> = narrow.iter().map(|w| w.to_f32()).collect();
        let matrices = [
            Matrix::f32(wide.clone(), [rows, columns]).unwrap(),
            Matrix::bf16(narrow, [rows, columns]).unwrap(),
        ];
        let bias = numbers(rows, 5);
        for count in [0, 1, 3, FEW, FEW + 1, 90] {
            let x = numbers(count * columns, 2);
            for matrix in &matrices {
                let y = matrix.product(&x, Some(&bias)).unwrap();
                let plain = expected(&wide, &x, rows, columns);
                assert_eq!(y.len(), plain.len());
                for ((y, plain), bias) in y.iter().zip(plain).zip(bias.iter().cycle()) {
                    assert!((y - plain - bias).abs() < 1e-4, "{count} rows");
                }
            }
        }
    }

    #[test]
    fn a_row_of_few_does_not_depend_on_the_others() {
        let matrix = Matrix::f32(numbers(40 * 100, 3), [40, 100]).unwrap();
        let x = numbers(FEW * 100, 4);
        let together = matrix.product(&x, None).unwrap();
        for (x, together) in x.chunks(100).zip(together.chunks(40)) {
            assert_eq!(matrix.product(x, None).unwrap(), together);
        }
    }

    #[test]
    fn eight_bits_give_the_product_up_to_their_rounding() {
        let (rows, columns) = (300, 96);
        let wide = numbers(rows * columns, 1);
        let matrix = Matrix::f32(wide.clone(), [rows, columns]).unwrap().in_eight_bits();
        assert_eq!(matrix.bytes(), rows * columns * 34 / 32);
        for count in [1, FEW, FEW + 1] {
            let x = numbers(count * columns, 2);
            let y = matrix.product(&x, None).unwrap();
            for (y, plain) in y.iter().zip(expected(&wide, &x, rows, columns)) {
                assert!((y - plain).abs() < 0.05, "{count} rows: {y}, {plain}");
            }
        }
    }

    #[test]
    fn four_bits_give_the_product_up_to_their_rounding() {
        let (rows, columns) = (300, 512);
        let wide = numbers(rows * columns, 1);
        let matrix = Matrix::f32(wide.clone(), [rows, columns]).unwrap().in_four_bits();
        assert_eq!(matrix.bytes(), rows * columns * 144 / 256);
        let x = numbers((FEW + 1) * columns, 2);
        let plain = expected(&wide, &x, rows, columns);
        for count in [1, FEW, FEW + 1] {
            let y = matrix.product(&x[..count * columns], None).unwrap();
            for (y, plain) in y.iter().zip(&plain) {
                assert!((y - plain).abs() < 0.5, "{count} rows: {y}, {plain}");
            }
        }
        let together = matrix.product(&x[..FEW * columns], None).unwrap();
        for (x, together) in x.chunks(columns).zip(together.chunks(rows)) {
            assert_eq!(matrix.product(x, None).unwrap(), together);
        }
    }

    #[test]
    fn rows_that_few_bits_cannot_hold_take_the_next_more() {
        let odd = Matrix::f32(numbers(2 * 33, 1), [2, 33]).unwrap();
        assert_eq!(odd.clone().in_eight_bits().bytes(), odd.bytes());
        assert_eq!(odd.clone().in_four_bits().bytes(), odd.bytes());
        let short = Matrix::f32(numbers(2 * 96, 1), [2, 96]).unwrap();
        assert_eq!(short.clone().in_four_bits().bytes(), short.in_eight_bits().bytes());
        let four = Matrix::f32(numbers(2 * 256, 1), [2, 256]).unwrap().in_four_bits();
        assert_eq!(four.clone().in_eight_bits().bytes(), four.bytes());
    }

    #[test]
    fn mixed_stacks_keep_the_numbers_of_their_parts() {
        let part = |rows, seed| Matrix::f32(numbers(rows * 256, seed), [rows, 256]).unwrap();
        let parts =
            [part(2, 1), part(3, 2).in_eight_bits(), part(4, 3).in_eight_bits(), part(5, 4).in_four_bits()];
        let stack = Matrix::stack(parts.to_vec()).unwrap();
        assert_eq!(stack.rows(), 14);
        assert_eq!(stack.bytes(), parts.iter().map(Matrix::bytes).sum::<usize>());
        let values: Vec<f32> = parts.iter().flat_map(Matrix::to_f32).collect();
        assert_eq!(stack.to_f32(), values);
        let mut row = vec![0.0; 256];
        stack.copy_row(6, &mut row);
        assert_eq!(row, values[6 * 256..7 * 256]);
        for count in [0, 1, 3, FEW + 1] {
            let x = numbers(count * 256, 3);
            let y = stack.product(&x, None).unwrap();
            assert_eq!(y.len(), count * 14);
            for (x, y) in x.chunks(256).zip(y.chunks(14)) {
                let apart: Vec<f32> = parts.iter().flat_map(|part| part.product(x, None).unwrap()).collect();
                assert!(y.iter().zip(&apart).all(|(y, apart)| (y - apart).abs() < 0.1));
            }
        }
        assert_eq!(stack.in_four_bits().bytes(), 14 * 144);
    }

    #[test]
    fn a_change_is_added_to_numbers_that_are_not_rounded_yet() {
        let (w, change) = (numbers(2 * 32, 1), numbers(2 * 32, 2));
        let sum: Vec<f32> = w.iter().zip(&change).map(|(w, change)| w + change).collect();
        let wide = Matrix::f32(w.clone(), [2, 32]).unwrap().plus(&change).unwrap();
        assert_eq!(&*wide.widened(0..2), sum);
        let narrow = w.iter().copied().map(bf16::from_f32).collect();
        let narrow = Matrix::bf16(narrow, [2, 32]).unwrap().plus(&change).unwrap();
        assert_eq!(narrow.bytes(), 2 * 32 * 2, "bf16 stays bf16");
        for (got, sum) in narrow.widened(0..2).iter().zip(&sum) {
            assert!((got - sum).abs() < 0.01, "{got}, {sum}");
        }
        assert!(Matrix::f32(w.clone(), [2, 32]).unwrap().plus(&change[1..]).is_err());
        assert!(Matrix::f32(w, [2, 32]).unwrap().in_eight_bits().plus(&change).is_err());
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(Matrix::f32(vec![0.0; 5], [2, 3]).is_err());
        let matrix = Matrix::f32(vec![0.0; 6], [2, 3]).unwrap();
        assert!(matrix.product(&[0.0; 4], None).is_err());
        assert!(matrix.product(&[0.0; 3], Some(&[0.0; 3])).is_err());
        assert!(Matrix::stack(vec![matrix.clone(), Matrix::f32(vec![0.0; 4], [2, 2]).unwrap()]).is_err());
        assert_eq!(Matrix::stack(vec![matrix.clone(), matrix]).unwrap().rows(), 4);
    }
}
