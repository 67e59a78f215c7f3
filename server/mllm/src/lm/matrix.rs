//! Weight matrices as they are kept, and products with them.

use candle_core::{Result, bail};
use half::bf16;
use rayon::prelude::*;

use crate::ops::gemm::{Into, Mat, Threads, gemm};
use crate::ops::rows::dot;

/// Rows of x up to which each weight is read once and used for all of them, every row by itself: what comes out does
/// not depend on how many rows there are.
pub(crate) const FEW: usize = 16;
/// Weight rows that a thread takes at a time.
const ROWS: usize = 32;
/// Weight rows that are widened at a time for a matrix product.
const PANEL: usize = 256;

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
}

/// A number as it is kept.
trait Number: Copy + Send + Sync {
    /// The sum of products with numbers.
    fn dot(weights: &[Self], x: &[f32]) -> f32;
}

impl Number for f32 {
    fn dot(weights: &[Self], x: &[f32]) -> f32 {
        dot(weights, x)
    }
}

impl Number for bf16 {
    fn dot(weights: &[Self], x: &[f32]) -> f32 {
        const LANES: usize = 32;
        let mut sums = [0f32; LANES];
        let (w, x) = (weights.chunks_exact(LANES), x.chunks_exact(LANES));
        let rest: f32 = w.remainder().iter().zip(x.remainder()).map(|(w, x)| widen(*w) * x).sum();
        for (w, x) in w.zip(x) {
            for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
                *sum += widen(*w) * x;
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

/// A bf16 is the upper half of an f32.
#[inline(always)]
fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
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

    /// Matrices of as many columns, one below the other.
    ///
    /// # Errors
    /// When their columns differ.
    pub fn stack(parts: Vec<Self>) -> Result<Self> {
        let columns = parts.first().map_or(0, |part| part.columns);
        if parts.iter().any(|part| part.columns != columns) {
            bail!("matrices of different widths cannot be stacked");
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        let all_bf16 = parts.iter().all(|part| matches!(part.values, Values::Bf16(_)));
        let values = if all_bf16 {
            let narrow = |part: Self| match part.values {
                Values::Bf16(values) => values,
                Values::F32(_) => Vec::new(),
            };
            Values::Bf16(parts.into_iter().flat_map(narrow).collect())
        } else {
            let wide = |part: Self| match part.values {
                Values::F32(values) => values,
                Values::Bf16(values) => values.into_iter().map(widen).collect(),
            };
            Values::F32(parts.into_iter().flat_map(wide).collect())
        };
        let len = rows * columns;
        Self::new(len, [rows, columns], values)
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
        }
    }

    /// Writes a row, widened.
    pub(super) fn copy_row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.columns..(row + 1) * self.columns;
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::Bf16(values) => {
                for (out, value) in out.iter_mut().zip(&values[range]) {
                    *out = widen(*value);
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
        let count = x.len() / self.columns;
        let mut y = match (&self.values, count) {
            (Values::F32(w), 0..=FEW) => self.few(w, x, count),
            (Values::Bf16(w), 0..=FEW) => self.few(w, x, count),
            (Values::F32(w), _) => {
                let mut y = vec![0.0; count * self.rows];
                let (x, w) = (Mat::new(x, count, self.columns), Mat::new(w, self.rows, self.columns));
                gemm(&mut y, self.rows, Into::Set, 1.0, x, w.t(), Threads::All)?;
                y
            }
            (Values::Bf16(w), _) => self.widened(w, x, count)?,
        };
        if let Some(bias) = bias {
            for y in y.chunks_exact_mut(self.rows) {
                crate::ops::rows::add(y, bias);
            }
        }
        Ok(y)
    }

    /// Row by row of the weights.
    fn few<T: Number>(&self, weights: &[T], x: &[f32], count: usize) -> Vec<f32> {
        if count == 0 {
            return Vec::new();
        }
        // [rows, count]: a thread's results lie side by side.
        let mut by_weight = vec![0.0; self.rows * count];
        by_weight.par_chunks_mut(ROWS * count).zip(weights.par_chunks(ROWS * self.columns)).for_each(
            |(y, weights)| {
                for (y, row) in y.chunks_exact_mut(count).zip(weights.chunks_exact(self.columns)) {
                    for (y, x) in y.iter_mut().zip(x.chunks_exact(self.columns)) {
                        *y = T::dot(row, x);
                    }
                }
            },
        );
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

    /// A panel of weights at a time, widened and multiplied by one thread.
    fn widened(&self, weights: &[bf16], x: &[f32], count: usize) -> Result<Vec<f32>> {
        let x = Mat::new(x, count, self.columns);
        let panels = weights.par_chunks(PANEL * self.columns).map(|panel| {
            let wide: Vec<f32> = panel.iter().copied().map(widen).collect();
            let rows = panel.len() / self.columns;
            let mut y = vec![0.0; count * rows];
            let panel = Mat::new(&wide, rows, self.columns);
            gemm(&mut y, rows, Into::Set, 1.0, x, panel.t(), Threads::One)?;
            Ok(y)
        });
        let panels: Vec<Vec<f32>> = panels.collect::<Result<_>>()?;
        let mut y = vec![0.0; count * self.rows];
        let mut at = 0;
        for panel in panels {
            let rows = panel.len() / count;
            for (y, panel) in y.chunks_exact_mut(self.rows).zip(panel.chunks_exact(rows)) {
                y[at..at + rows].copy_from_slice(panel);
            }
            at += rows;
        }
        Ok(y)
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
        let (rows, columns) = (300, 70);
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
    fn sizes_that_do_not_fit_are_refused() {
        assert!(Matrix::f32(vec![0.0; 5], [2, 3]).is_err());
        let matrix = Matrix::f32(vec![0.0; 6], [2, 3]).unwrap();
        assert!(matrix.product(&[0.0; 4], None).is_err());
        assert!(matrix.product(&[0.0; 3], Some(&[0.0; 3])).is_err());
        assert!(Matrix::stack(vec![matrix.clone(), Matrix::f32(vec![0.0; 4], [2, 2]).unwrap()]).is_err());
        assert_eq!(Matrix::stack(vec![matrix.clone(), matrix]).unwrap().rows(), 4);
    }
}
