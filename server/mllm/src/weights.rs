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

/// In which numbers a model's matrices are kept while it decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightFormat {
    /// As the checkpoint stores them: bf16 or f32.
    #[default]
    Stored,
    /// Eight bits a number, rounded when the model is opened: half the memory of bf16, and nearly twice the speed.
    Q8_0,
    /// Four and a half bits a number, rounded when the model is opened; the embedding table and the output projection
    /// in eight.
    Q4K,
}

impl WeightFormat {
    /// How formats are written.
    pub const NAMES: &'static str = "`stored`, `q8_0` or `q4_k`";

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "stored" => Some(Self::Stored),
            "q8_0" => Some(Self::Q8_0),
            "q4_k" => Some(Self::Q4K),
            _ => None,
        }
    }
}

/// The embedding table and the output projection.
const TABLES: [&str; 2] = ["model.embed_tokens.weight", "lm_head.weight"];

/// Weights whose matrices are brought into a format.
pub(crate) struct Formatted<'a> {
    pub(crate) weights: &'a dyn Weights,
    pub(crate) format: WeightFormat,
}

impl Weights for Formatted<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weights.get(name, shape)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        let matrix = self.weights.matrix(name, shape)?;
        Ok(match self.format {
            WeightFormat::Stored => matrix,
            WeightFormat::Q8_0 => matrix.in_eight_bits(),
            // An error in the table or in the scores reaches every token directly; four bits cost too much there.
            WeightFormat::Q4K if TABLES.contains(&name) => matrix.in_eight_bits(),
            WeightFormat::Q4K => matrix.in_four_bits(),
        })
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
