//! Where a model's weights come from.

use candle_core::Tensor;

use crate::error::Result;
use crate::lm::Matrix;
use crate::model::LowRank;

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

    /// What is trained beside the weight `[outputs, inputs]` of the linear map `module` (its weight's name without
    /// `.weight`); nothing but where a trainer says otherwise.
    ///
    /// # Errors
    /// When it has other shapes.
    fn beside(&self, _module: &str, _shape: [usize; 2]) -> Result<Option<LowRank>> {
        Ok(None)
    }
}

/// In which numbers a model's matrices are kept while it decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightFormat {
    /// As the checkpoint stores them: bf16 (large matrices in twelve bits of the same value) or f32.
    #[default]
    Stored,
    /// Eight bits a number, rounded when the model is opened: half the memory of bf16.
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

/// In which numbers a model's matrices are kept, and those of its drafter where it has one: the same weights in fewer bits,
/// which guess what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats {
    weights: WeightFormat,
    drafter: Option<WeightFormat>,
}

impl From<WeightFormat> for Formats {
    fn from(weights: WeightFormat) -> Self {
        Self { weights, drafter: None }
    }
}

impl Formats {
    /// These formats; none where a drafter would not take fewer bits than the weights.
    #[must_use]
    pub fn new(weights: WeightFormat, drafter: Option<WeightFormat>) -> Option<Self> {
        let takes_fewer = |drafter| match (weights, drafter) {
            (_, WeightFormat::Stored) | (WeightFormat::Q4K, _) => false,
            (weights, drafter) => weights != drafter,
        };
        drafter.is_none_or(takes_fewer).then_some(Self { weights, drafter })
    }

    /// That of the weights.
    #[must_use]
    pub fn weights(self) -> WeightFormat {
        self.weights
    }

    /// That of the drafter.
    #[must_use]
    pub fn drafter(self) -> Option<WeightFormat> {
        self.drafter
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

    pub(crate) fn beside(&self, shape: [usize; 2]) -> Result<Option<LowRank>> {
        self.weights.beside(&self.prefix, shape)
    }

    pub(crate) fn vector(&self, name: &str, size: usize) -> Result<Vec<f32>> {
        Ok(self.get(name, &[size])?.to_vec1()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::RandomWeights;
    use crate::config::TextConfig;
    use crate::lm::{Batch, BlockId, Input, LanguageModel, Segment, Wanted, What};

    fn model(format: WeightFormat) -> LanguageModel {
        let text = TextConfig {
            vocab_size: 600,
            hidden_size: 512,
            intermediate_size: 512,
            layers: 2,
            heads: 8,
            kv_heads: 2,
            rms_norm_eps: 1e-6,
            rope_theta: 1e6,
            mrope_section: vec![8, 12, 12],
            max_positions: 64,
        };
        LanguageModel::load(&text, true, &Formatted { weights: &RandomWeights, format }).unwrap()
    }

    /// Scores after three tokens.
    fn scores(model: &LanguageModel) -> Vec<f32> {
        let inputs = [3, 500, 77].map(Input::Token).to_vec();
        let positions = vec![[0; 3], [1; 3], [2; 3]];
        let segments = vec![Segment { tokens: 3, before: 0, adapter: None, blocks: vec![BlockId::new(0)] }];
        let wanted = vec![Wanted { token: 2, what: What::Scores }];
        let batch = Batch { inputs, positions, segments, wanted, ..Batch::default() };
        model.step(&batch, &mut model.new_pool(1)).unwrap()
    }

    #[test]
    fn formats_have_names_and_others_are_none() {
        let named = ["stored", "q8_0", "q4_k"].map(|name| (name, WeightFormat::named(name)));
        for (name, format) in named {
            assert!(format.is_some() && WeightFormat::NAMES.contains(&format!("`{name}`")));
        }
        assert_eq!(WeightFormat::named("q4_0"), None);
    }

    #[test]
    fn a_drafter_takes_fewer_bits_than_the_weights() {
        use WeightFormat::{Q4K, Q8_0, Stored};
        for (weights, drafter) in [(Stored, Q8_0), (Stored, Q4K), (Q8_0, Q4K)] {
            assert_eq!(Formats::new(weights, Some(drafter)).and_then(Formats::drafter), Some(drafter));
        }
        for (weights, drafter) in [(Stored, Stored), (Q8_0, Q8_0), (Q4K, Q8_0), (Q4K, Q4K), (Q8_0, Stored)] {
            assert_eq!(Formats::new(weights, Some(drafter)), None, "{weights:?} {drafter:?}");
        }
        assert_eq!(Formats::new(Q4K, None), Some(Q4K.into()));
    }

    #[test]
    fn four_bits_keep_the_table_in_eight_and_change_scores_by_their_rounding() {
        let (stored, four) = (model(WeightFormat::Stored), model(WeightFormat::Q4K));
        let table = 600 * 512;
        let layers = stored.step_bytes() / 2 - table;
        assert_eq!(four.step_bytes(), table * 34 / 32 + layers * 9 / 16);
        let (stored, four) = (scores(&stored), scores(&four));
        let power = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
        let apart = power(&mut stored.iter().zip(&four).map(|(stored, four)| stored - four));
        let apart = (apart / power(&mut stored.iter().copied())).sqrt();
        assert!(apart > 1e-3 && apart < 0.15, "{apart}");
    }
}
