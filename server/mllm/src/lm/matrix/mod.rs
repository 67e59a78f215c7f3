//! Weight matrices as they are kept, and products with them.
//!
//! - `rows`: rows as products read them, in f32 and bf16.
//! - `b12`: bf16 in twelve bits a number, without loss.
//! - `q8`: eight bits a number.
//! - `q4`: four bits a number.
//! - `q6`: six bits a number, as files have it.
//! - `quads`: rows four by four.
//! - `stretches`: long rows cut into several.
//! - `tiles`: products with many rows of x.
//! - `blocks`: matrices as ggml's files hold them.

mod b12;
mod blocks;
mod q4;
mod q6;
mod q8;
mod quads;
mod rows;
mod stretches;
mod tiles;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use candle_core::{Result, bail};
use half::bf16;
use rayon::prelude::*;

use self::b12::B12;
pub use self::blocks::Blocks;
use self::q4::Q4;
use self::q8::Q8;
use self::quads::QUAD;
use self::rows::{Dense, Rows};
use self::stretches::{multiply, prepared};
use self::tiles::{Parts, Strips};
use crate::ops::gemm::{Into, Mat, Threads, gemm};
use crate::ops::large_pages;

/// Rows of x up to which each weight is read once and used for all of them, every row by itself, whatever the weights are
/// and wherever: what comes out does not depend on how many rows there are.
pub(crate) const FEW: usize = 8;
/// The same where it takes long to widen weights for what is done with more rows, or no tiles are fast.
const FEW_WIDENED: usize = 16;
/// The same where products are those of bytes.
const FEW_ROUNDED: usize = 32;
/// Bytes of a matrix that a cache may hold from one step to the next.
const CACHED: usize = 4 << 20;
/// Fewest and most weight rows that a thread takes at a time. The more, the more of them profit from a stretch of x.
const ROWS: [usize; 2] = [32, 128];
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
    /// In stretches, as the following.
    B12(Vec<B12>),
    Q8(Vec<Q8>),
    Q4(Vec<Q4>),
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
            Values::F32(_) | Values::Bf16(_) | Values::B12(_) if Q8::fits(self.columns) => {
                let rounded = Q8::round(self.rows, self.columns, |row, part| self.part(row, part));
                Self { values: Values::Q8(rounded), ..self }
            }
            _ => self,
        }
    }

    /// The matrix as it is read fastest, in large pages; bf16 that is read from memory, rather than from a cache, in twelve
    /// bits a number, of the same value.
    #[must_use]
    pub fn compact(self) -> Self {
        let compact = match self.values {
            Values::Mixed(parts) => {
                let parts = parts.into_iter().map(Self::compact).collect();
                return Self { values: Values::Mixed(parts), ..self };
            }
            Values::Bf16(_) if self.bytes() >= CACHED => self.packed(),
            _ => self,
        };
        match &compact.values {
            Values::F32(values) => large_pages::gather(values),
            Values::Bf16(values) => large_pages::gather(values),
            Values::B12(stretches) => stretches.iter().for_each(B12::gather),
            Values::Q8(stretches) => stretches.iter().for_each(Q8::gather),
            Values::Q4(stretches) => stretches.iter().for_each(Q4::gather),
            Values::Mixed(_) => {}
        }
        compact
    }

    /// Whether [`Self::compact`] packs bf16 on this processor.
    #[must_use]
    pub(crate) fn packs_bf16() -> bool {
        b12::is_fast()
    }

    /// The same for a matrix of any size.
    fn packed(mut self) -> Self {
        if let Values::Bf16(values) = &self.values
            && let Some(packed) = B12::pack(values, self.columns)
        {
            self.values = Values::B12(packed);
        }
        self
    }

    /// The matrix with `change` `[rows, columns]` added to it, in the numbers in which it is kept.
    ///
    /// # Errors
    /// When the numbers do not fill the matrix, or it is kept in rounded blocks.
    pub fn plus(mut self, change: &[f32]) -> Result<Self> {
        if change.len() != self.rows * self.columns {
            bail!("{} numbers do not fill {} rows of {}", change.len(), self.rows, self.columns);
        }
        if matches!(self.values, Values::B12(_)) {
            let shape = [self.rows, self.columns];
            return Ok(Self::bf16(self.into_bf16(), shape)?.plus(change)?.packed());
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
                let rounded = Q4::round(self.rows, self.columns, |row, part| self.part(row, part));
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

    /// One matrix where both are kept alike and four rows stay together, else both.
    fn joined(mut self, below: Self) -> Vec<Self> {
        let whole = self.rows.is_multiple_of(QUAD);
        match (&mut self.values, below.values) {
            (Values::F32(values), Values::F32(below)) => values.extend(below),
            (Values::Bf16(values), Values::Bf16(below)) => values.extend(below),
            (Values::Q8(stretches), Values::Q8(below)) if whole => {
                stretches.iter_mut().zip(&below).for_each(|(stretch, below)| stretch.extend(below));
            }
            (Values::Q4(stretches), Values::Q4(below)) if whole => {
                stretches.iter_mut().zip(&below).for_each(|(stretch, below)| stretch.extend(below));
            }
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
            Values::B12(stretches) => stretches.iter().map(B12::bytes).sum(),
            Values::Q8(stretches) => stretches.iter().map(Q8::bytes).sum(),
            Values::Q4(stretches) => stretches.iter().map(Q4::bytes).sum(),
            Values::Mixed(parts) => parts.iter().map(Self::bytes).sum(),
        }
    }

    /// All values as f32, `[rows, columns]`.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::new();
        self.widen(0..self.rows, &mut values);
        values
    }

    /// The numbers, row by row, rounded to bf16 where they are others.
    pub(crate) fn into_bf16(self) -> Vec<bf16> {
        match self.values {
            Values::Bf16(values) => values,
            _ => self.to_f32().par_iter().copied().map(bf16::from_f32).collect(),
        }
    }

    /// Writes a row, widened.
    pub(super) fn copy_row(&self, row: usize, out: &mut [f32]) {
        self.copy(row, 0..self.columns, out);
    }

    /// Some numbers of a row as f32.
    fn part(&self, row: usize, columns: Range<usize>) -> Cow<'_, [f32]> {
        if let Values::F32(values) = &self.values {
            return Cow::Borrowed(&values[row * self.columns..][columns]);
        }
        let mut values = vec![0.0; columns.len()];
        self.copy(row, columns, &mut values);
        Cow::Owned(values)
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
        let mut y = match &self.values {
            Values::Mixed(parts) => {
                let parts: Result<Vec<_>> = parts.iter().map(|part| part.product(x, None)).collect();
                self.side_by_side(parts?, count)
            }
            Values::F32(values) => self.times(&[Dense { values, columns }], x, count)?,
            Values::Bf16(values) => self.times(&[Dense { values, columns }], x, count)?,
            Values::B12(stretches) => self.times(stretches, x, count)?,
            Values::Q8(stretches) => self.times(stretches, x, count)?,
            Values::Q4(stretches) => self.times(stretches, x, count)?,
        };
        if let Some(bias) = bias {
            for y in y.chunks_exact_mut(self.rows) {
                crate::ops::rows::add(y, bias);
            }
        }
        Ok(y)
    }

    /// The product with these weights, which are the matrix's: few rows of x by themselves, many in tiles.
    fn times<W: Rows + Parts>(&self, stretches: &[W], x: &[f32], count: usize) -> Result<Vec<f32>> {
        if count <= self.most_few() {
            return Ok(self.few(stretches, x, count));
        }
        if tiles::are_fast() {
            return Ok(self.by_tiles(stretches, x, count));
        }
        let Values::F32(w) = &self.values else { return self.by_panels(x, count) };
        let mut y = vec![0.0; count * self.rows];
        let (x, w) = (Mat::new(x, count, self.columns), Mat::new(w, self.rows, self.columns));
        gemm(&mut y, self.rows, Into::Set, 1.0, x, w.t(), Threads::All)?;
        Ok(y)
    }

    /// Rows of x up to which row by row is faster than what is done with many.
    fn most_few(&self) -> usize {
        match self.values {
            Values::F32(_) if tiles::are_fast() => FEW,
            Values::Q8(_) | Values::Q4(_) => FEW_ROUNDED,
            _ => FEW_WIDENED,
        }
    }

    /// Row by row of the weights.
    fn few<R: Rows + Parts>(&self, stretches: &[R], x: &[f32], count: usize) -> Vec<f32> {
        if count == 0 {
            return Vec::new();
        }
        let x = prepared(stretches, x);
        // [rows, count]: a thread's results lie side by side.
        let mut by_weight = vec![0.0; self.rows * count];
        let rows = rows_at_a_time(self.rows, rayon::current_num_threads());
        by_weight.par_chunks_mut(rows * count).enumerate().for_each(|(part, y)| {
            let first = part * rows;
            multiply(stretches, first..first + y.len() / count, &x, y);
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

    /// A group of weight rows at a time, multiplied by one thread.
    fn by_tiles(&self, weights: &(impl Parts + ?Sized), x: &[f32], count: usize) -> Vec<f32> {
        let strips = Strips::new(x, self.columns);
        let group = strips.group(self.rows, rayon::current_num_threads());
        let mut y = vec![0.0; count * self.rows];
        let groups = split_columns(&mut y, self.rows, group);
        groups.into_par_iter().enumerate().for_each(|(nth, mut y)| {
            let rows = nth * group..self.rows.min((nth + 1) * group);
            strips.times(weights, rows, &mut y);
        });
        y
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

impl Parts for Matrix {
    fn columns(&self) -> usize {
        self.columns
    }

    fn copy(&self, row: usize, part: Range<usize>, into: &mut [f32]) {
        let columns = self.columns;
        match &self.values {
            Values::F32(values) => Dense { values, columns }.copy(row, part, into),
            Values::Bf16(values) => Dense { values, columns }.copy(row, part, into),
            Values::B12(stretches) => stretches.copy(row, part, into),
            Values::Q8(stretches) => stretches.copy(row, part, into),
            Values::Q4(stretches) => stretches.copy(row, part, into),
            Values::Mixed(parts) => {
                let mut row = row;
                for below in parts {
                    if row < below.rows {
                        return below.copy(row, part, into);
                    }
                    row -= below.rows;
                }
            }
        }
    }
}

/// How many of `rows` weight rows a thread takes at a time, so that every one has its share.
fn rows_at_a_time(rows: usize, threads: usize) -> usize {
    let [fewest, most] = ROWS;
    (rows / (4 * threads)).next_multiple_of(QUAD).clamp(fewest, most)
}

/// Rows of `columns` numbers each, cut into parts of `part` columns: what belongs to a part, row by row.
fn split_columns(y: &mut [f32], columns: usize, part: usize) -> Vec<Vec<&mut [f32]>> {
    let rows = y.len() / columns;
    let mut parts: Vec<_> = (0..columns.div_ceil(part)).map(|_| Vec::with_capacity(rows)).collect();
    for row in y.chunks_exact_mut(columns) {
        for (part, slice) in parts.iter_mut().zip(row.chunks_mut(part)) {
            part.push(slice);
        }
    }
    parts
}

#[cfg(test)]
mod tests;
