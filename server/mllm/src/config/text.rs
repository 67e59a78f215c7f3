//! The language model's shape.

use super::ConfigError;

/// A Qwen2.5 decoder with multimodal rotary positions.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding table; may exceed the tokenizer's vocabulary (padding).
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// How many of the `head_dim / 2` frequencies take the time, row and column position; repeats in that order.
    pub mrope_section: Vec<usize>,
    /// Longest conversation in tokens.
    pub max_positions: usize,
}

impl TextConfig {
    /// Width of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.heads
    }

    /// Width of all key (or value) heads.
    #[must_use]
    pub fn kv_size(&self) -> usize {
        self.kv_heads * self.head_dim()
    }

    /// Numbers of its weights; where the output is `tied`, the embedding table is its projection.
    pub(super) fn parameters(&self, tied: bool) -> usize {
        let (hidden, kv) = (self.hidden_size, self.kv_size());
        let qkv = (hidden + 1) * (hidden + 2 * kv);
        let norms = 2 * hidden;
        let layer = qkv + hidden * hidden + 3 * hidden * self.intermediate_size + norms;
        let tables = self.vocab_size * hidden * if tied { 1 } else { 2 };
        self.layers * layer + hidden + tables
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("max_position_embeddings", self.max_positions),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ConfigError::new(format!("{name} is 0"), "at least 1"));
        }
        if !self.hidden_size.is_multiple_of(self.heads) || !self.head_dim().is_multiple_of(2) {
            return Err(ConfigError::new(
                format!("hidden_size {} over {} heads", self.hidden_size, self.heads),
                "an even, whole width per head",
            ));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ConfigError::new(
                format!("{} query heads over {} key heads", self.heads, self.kv_heads),
                "num_key_value_heads to divide num_attention_heads",
            ));
        }
        let sections = self.mrope_section.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
        if sections != Some(self.head_dim() / 2) {
            return Err(ConfigError::new(
                format!("mrope_section {:?}", self.mrope_section),
                format!("numbers that sum to half the head width, {}", self.head_dim() / 2),
            ));
        }
        if !(self.rms_norm_eps > 0.0 && self.rope_theta > 0.0) {
            return Err(ConfigError::new(
                format!("rms_norm_eps {}, rope_theta {}", self.rms_norm_eps, self.rope_theta),
                "both above 0",
            ));
        }
        Ok(())
    }
}
