//! The model's shape: what `config.json` says, checked.
//!
//! - [`text`]: the language model.
//! - [`vision`]: the vision tower and the merger.
//! - `raw`: the fields of `config.json` as they stand in the file.
//! - `read`: from them to the checked shape.
//! - `write`: and back.

mod raw;
mod read;
pub mod text;
pub mod vision;
mod write;

pub use text::TextConfig;
pub use vision::VisionConfig;

/// Ids of the tokens that frame a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisionTokens {
    /// `<|image_pad|>`: one per merged patch.
    pub image: u32,
    /// `<|video_pad|>`.
    pub video: u32,
    /// `<|vision_start|>`.
    pub start: u32,
    /// `<|vision_end|>`.
    pub end: u32,
}

/// A Qwen2.5-VL checkpoint's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Whether the output projection is the embedding table.
    pub tied: bool,
    /// The picture's tokens.
    pub tokens: VisionTokens,
}

impl ModelConfig {
    /// Numbers of all its weights.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        (self.text.parameters(self.tied) + self.vision.parameters()) as u64
    }
}

/// A configuration that contradicts itself or asks for what is not supported: what was found, what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; expected {expected}")]
pub struct ConfigError {
    /// What was found.
    pub problem: String,
    /// What was expected.
    pub expected: String,
}

impl ConfigError {
    fn new(problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { problem: problem.into(), expected: expected.into() }
    }
}

/// Why `config.json` is refused.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is a configuration of another model.
    #[error("the architecture is {0}")]
    Architecture(String),
    /// A field is missing, of the wrong type, contradictory or not supported.
    #[error(transparent)]
    Field(#[from] ConfigError),
}

impl ModelConfig {
    /// Reads `config.json`, old (flat) or new (`text_config`) layout.
    ///
    /// # Errors
    /// [`ParseError`] for another architecture and for fields that are missing, contradictory or not supported.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let config = read::parse(json)?;
        config.check()?;
        Ok(config)
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// [`ConfigError`] with what was found and what was expected.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.text.check()?;
        self.vision.check()?;
        if self.vision.out_hidden_size != self.text.hidden_size {
            return Err(ConfigError::new(
                format!("vision_config.out_hidden_size is {}", self.vision.out_hidden_size),
                format!("hidden_size, {}", self.text.hidden_size),
            ));
        }
        let last = self.tokens.image.max(self.tokens.video).max(self.tokens.start).max(self.tokens.end);
        if last as usize >= self.text.vocab_size {
            return Err(ConfigError::new(
                format!("a vision token id is {last}"),
                format!("ids below vocab_size, {}", self.text.vocab_size),
            ));
        }
        Ok(())
    }

    /// The configuration as `config.json` in the hub's flat layout, for checkpoints written by the trainer.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        write::json(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::bench;

    #[test]
    fn numbers_are_as_many_as_in_the_hubs_models() {
        // As transformers counts them.
        for (size, parameters) in [("3b", 3_754_622_976), ("7b", 8_292_166_656)] {
            assert_eq!(bench::config(size, None).unwrap().parameters(), parameters, "{size}");
        }
    }
}
