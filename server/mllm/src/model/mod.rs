//! Qwen2.5-VL: one definition for decoding and for training.
//!
//! - [`positions`]: multimodal rotary positions.
//! - [`rotary`]: their cosines and sines.
//! - [`cache`]: keys and values of what was decoded.
//! - [`grid`]: the patch grid of a picture.
//! - `layers`: the affine map and the feed-forward layer that both towers use.
//! - `low_rank`: LoRA under training.
//! - `vision`: the tower with window and full attention, and the merger.
//! - `window`: which patches share a window.
//! - `text`: the decoder.
//! - `splice`: picture tokens put in their places among the words.
//!
//! Nothing here keeps or drops gradients: give variables as weights and call `backward` on what comes out.

pub mod cache;
pub mod grid;
mod layers;
mod low_rank;
pub mod positions;
pub mod rotary;
mod splice;
mod text;
pub(crate) mod vision;
pub(crate) mod window;

use candle_core::{Device, Result, Tensor};

pub use cache::KvCache;
pub use grid::Grid;
pub use low_rank::{Dropout, LowRank};
pub use positions::Positions;
pub use rotary::Rotary;
pub use splice::splice;
pub use vision::Vision;

use crate::config::ModelConfig;
use crate::ops;
use crate::weights::Weights;

/// A model with its weights.
#[derive(Debug, Clone)]
pub struct Qwen2_5Vl {
    config: ModelConfig,
    device: Device,
    vision: Vision,
    text: text::Text,
    /// `[vocab, hidden]`; the embedding table itself where the checkpoint ties them.
    output: Tensor,
}

impl Qwen2_5Vl {
    /// Takes every weight that `config` asks for; nothing is computed yet.
    ///
    /// # Errors
    /// When a weight is missing, has another shape or cannot be read.
    pub fn load(config: &ModelConfig, weights: &dyn Weights) -> crate::Result<Self> {
        let text = text::Text::load(&config.text, weights)?;
        let output = if config.tied {
            text.table().clone()
        } else {
            weights.get("lm_head.weight", &[config.text.vocab_size, config.text.hidden_size])?
        };
        let vision = Vision::load(&config.vision, weights)?;
        Ok(Self { config: config.clone(), device: output.device().clone(), vision, text, output })
    }

    /// The same weights without what is trained beside them.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { text: self.text.alone(), ..self.clone() }
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the weights lie.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Encodes pictures, as [`Vision::forward`] does.
    ///
    /// # Errors
    /// When the grids do not add up to the patches.
    pub fn vision(&self, patches: &Tensor, grids: &[Grid]) -> Result<Tensor> {
        self.vision.forward(patches, grids)
    }

    /// Embeds token ids (u32, any shape): `[.., hidden]`.
    ///
    /// # Errors
    /// When an id is outside the table.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.text.embed(ids)
    }

    /// Cosines and sines for a batch of sequences, each padded on the right to `length` positions.
    ///
    /// # Errors
    /// When a sequence is longer than `length`.
    pub fn rotary(&self, batch: &[Positions], length: usize) -> Result<Rotary> {
        Rotary::text(&self.config.text, batch, length, &self.device)
    }

    /// Runs the decoder: embeddings `[b, t, hidden]` become final hidden states `[b, t, hidden]`. Each token sees the
    /// cache and the tokens before it, so padding on the right needs no mask. With a cache, the new keys and values
    /// are appended to it.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, embeds: &Tensor, rotary: &Rotary, cache: Option<&mut KvCache>) -> Result<Tensor> {
        self.text.forward(embeds, rotary, cache)
    }

    /// Decoder layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.config.text.layers
    }

    /// One decoder layer: `[b, t, hidden]` becomes `[b, t, hidden]`. [`Self::forward`] without a cache is all of them,
    /// one after the other, and [`Self::last_norm`]; a trainer that keeps only what is between them computes each
    /// again for its gradient.
    ///
    /// # Errors
    /// When shapes do not fit, or there is no such layer.
    pub fn layer(&self, index: usize, x: &Tensor, rotary: &Rotary) -> Result<Tensor> {
        self.text.layer(index, x, rotary)
    }

    /// The norm after the last layer.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn last_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.text.last_norm(x)
    }

    /// Scores of the next token: hidden states `[.., hidden]` become `[.., vocab]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        ops::linear(hidden, &self.output, None)
    }

    /// The output projection `[vocab, hidden]`, for losses that never hold all logits at once.
    #[must_use]
    pub fn output_weight(&self) -> &Tensor {
        &self.output
    }

    /// An empty cache for one conversation.
    #[must_use]
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(self.config.text.layers)
    }
}
