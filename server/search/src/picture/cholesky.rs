//! Small linear systems with a positive definite matrix.

/// The lower triangular factor of an `N` x `N` matrix.
pub(super) struct Cholesky<const N: usize>([[f32; N]; N]);

impl<const N: usize> Cholesky<N> {
    /// Factors a matrix of which only the lower half is read; `None` when it is not positive definite.
    pub(super) fn of(matrix: &[[f32; N]; N]) -> Option<Self> {
        let mut lower = [[0.0; N]; N];
        for i in 0..N {
            for j in 0..=i {
                let known: f32 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
                let rest = matrix[i][j] - known;
                if i != j {
                    lower[i][j] = rest / lower[j][j];
                } else if rest > 0.0 {
                    lower[i][i] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self(lower))
    }

    /// The solution for a right-hand side.
    pub(super) fn solve(&self, right: &[f32; N]) -> [f32; N] {
        let lower = &self.0;
        let mut x = *right;
        for i in 0..N {
            let known: f32 = (0..i).map(|k| lower[i][k] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i][i];
        }
        for i in (0..N).rev() {
            let known: f32 = (i + 1..N).map(|k| lower[k][i] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i][i];
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let matrix = [[4.0, 0.0, 0.0], [2.0, 5.0, 0.0], [1.0, 3.0, 6.0]];
        let x = Cholesky::of(&matrix).unwrap().solve(&[11.0, 21.0, 25.0]);
        for (got, wanted) in x.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - wanted).abs() < 1e-4, "{x:?}");
        }
        assert!(Cholesky::of(&[[1.0, 0.0], [2.0, 1.0]]).is_none());
    }
}
