//! Matrix products over slices, checked.

use gemm::Parallelism;

/// A matrix in a slice, as rows and columns with their strides.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Mat<'a> {
    /// Row-major `[rows, columns]`.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that lie `row_stride` apart.
    pub(crate) fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transpose, without a copy.
    pub(crate) fn t(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn fits(&self) -> bool {
        fits(self.values.len(), [self.rows, self.columns], [self.row_stride, self.column_stride])
    }
}

/// Whether the last element of a matrix lies inside its slice.
fn fits(len: usize, [rows, columns]: [usize; 2], [row_stride, column_stride]: [usize; 2]) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row_stride + (columns - 1) * column_stride < len
}

/// What becomes of the values that are in the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread: the caller is already one of several.
    One,
    /// All of the current rayon pool.
    All,
}

/// `out = scale * a b`, or added to what is there; `out` is `[a.rows, b.columns]` with rows `out_stride` apart.
pub(crate) fn gemm(
    out: &mut [f32],
    out_stride: usize,
    into: Into,
    scale: f32,
    a: Mat,
    b: Mat,
    threads: Threads,
) -> candle_core::Result<()> {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let apart = m <= 1 || out_stride >= n;
    if k != b.rows || !a.fits() || !b.fits() || !apart || !fits(out.len(), [m, n], [out_stride, 1]) {
        candle_core::bail!("a product of [{m}, {k}] and [{}, {n}] does not fit its buffers", b.rows);
    }
    if m == 0 || n == 0 {
        return Ok(());
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: every index that the product reads or writes, `row * row_stride + column * column_stride` below the
    // given sizes, was checked above to lie inside its slice; `out` is borrowed mutably, and its rows do not overlap
    // because they are at least `n` apart.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            into == Into::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_strides_transposes_and_sums() {
        let a = [1., 2., 3., 4., 5., 6.];
        let b = [1., 0., 2., 1., 0., 3.];
        let mut out = [10.0; 5];
        let product = Mat::new(&a, 2, 3);
        gemm(&mut out, 3, Into::Add, 2.0, product, Mat::new(&b, 3, 2), Threads::One).expect("sizes fit");
        assert_eq!(out, [20., 32., 10., 38., 56.]);
        let mut square = [0.0; 9];
        gemm(&mut square, 3, Into::Set, 1.0, product.t(), product, Threads::All).expect("sizes fit");
        assert_eq!(square, [17., 22., 27., 22., 29., 36., 27., 36., 45.]);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let mut out = [0.0; 4];
        let a = [1.0; 4];
        let mut product = |rows, columns| {
            gemm(&mut out, 2, Into::Set, 1.0, Mat::new(&a, 2, 2), Mat::new(&a, rows, columns), Threads::One)
        };
        assert!(product(2, 2).is_ok());
        assert!(product(1, 2).is_err());
        assert!(product(2, 3).is_err());
    }
}
