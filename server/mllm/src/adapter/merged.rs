//! Weights with adapters merged into them.

use candle_core::Tensor;

use super::{Adapter, Pair};
use crate::error::{Error, Result};
use crate::lm::Matrix;
use crate::ops::gemm::{Into, Mat, Threads, gemm};
use crate::weights::Weights;

/// W + scale · B A for every weight that an adapter changes, in the numbers in which W is kept.
pub(crate) struct Merged<'a> {
    pub(crate) weights: &'a dyn Weights,
    /// Merged one after the other.
    pub(crate) adapters: &'a [Adapter],
}

impl Merged<'_> {
    /// What is added to a weight, `[outputs, inputs]` by adapter.
    fn changes(&self, name: &str) -> impl Iterator<Item = Result<Vec<f32>>> {
        let module = name.strip_suffix(".weight");
        self.adapters.iter().filter_map(move |adapter| Some(product(adapter.pair(module?)?)))
    }
}

impl Weights for Merged<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let mut weight = self.weights.get(name, shape)?;
        for change in self.changes(name) {
            weight = (&weight + Tensor::from_vec(change?, shape, weight.device())?)?;
        }
        Ok(weight)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        let mut matrix = self.weights.matrix(name, shape)?;
        for change in self.changes(name) {
            matrix = matrix.plus(&change?).map_err(|error| {
                Error::Adapter(format!("{name}: {error}; keep the adapter beside them, as NAME=DIR"))
            })?;
        }
        Ok(matrix)
    }
}

/// scale · B A, `[outputs, inputs]`.
pub(super) fn product(pair: &Pair) -> Result<Vec<f32>> {
    let (outputs, inputs) = (pair.b.len() / pair.rank, pair.a.len() / pair.rank);
    let (a, b) = (Mat::new(&pair.a, pair.rank, inputs), Mat::new(&pair.b, outputs, pair.rank));
    let mut product = vec![0.0; outputs * inputs];
    gemm(&mut product, inputs, Into::Set, pair.scale, b, a, Threads::All)?;
    Ok(product)
}
