//! Where a model's weights come from.

use candle_core::Tensor;

use crate::error::Result;
use crate::lm::Matrix;

/// Weights by name. A checkpoint gives what it stores; a trainer gives its variables, so that gradients reach them.
///
/// Names are those of the hub's checkpoints: `visual.…`, `model.…`, `lm_head.weight`.
pub trait Weights {
    /// The weight `name` as a contiguous f32 tensor of exactly `shape`.
    ///
    /// # Errors
    /// [`Error::MissingTensor`](crate::Error::MissingTensor), [`Error::WrongShape`](crate::Error::WrongShape) and
    /// whatever reading it can raise.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor>;

    /// The same weight as a matrix for decoding, in the numbers in which it is stored where those are kept.
    ///
    /// # Errors
    /// As for [`Weights::get`].
    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        let values = self.get(name, &shape)?.flatten_all()?.to_vec1()?;
        Ok(Matrix::f32(values, shape)?)
    }
}

/// Weights below a prefix: `visual.blocks.3`, then `attn.qkv.weight`.
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    weights: &'a dyn Weights,
    prefix: String,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(weights: &'a dyn Weights, prefix: &str) -> Self {
        Self { weights, prefix: prefix.to_owned() }
    }

    pub(crate) fn below(&self, name: impl std::fmt::Display) -> Self {
        Self { weights: self.weights, prefix: format!("{}.{name}", self.prefix) }
    }

    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weights.get(&format!("{}.{name}", self.prefix), shape)
    }

    pub(crate) fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        self.weights.matrix(&format!("{}.{name}", self.prefix), shape)
    }

    pub(crate) fn vector(&self, name: &str, size: usize) -> Result<Vec<f32>> {
        Ok(self.get(name, &[size])?.to_vec1()?)
    }
}
