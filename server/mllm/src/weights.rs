//! Where a model's weights come from.

use candle_core::Tensor;

use crate::error::Result;

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
}
