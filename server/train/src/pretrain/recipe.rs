//! What to train on what: a JSON file.

use std::path::{Path, PathBuf};

use loupe_mllm::config::{ModelConfig, TextConfig, VisionConfig, VisionTokens};
use loupe_shared::pixels::PixelLimits;
use serde::{Deserialize, Serialize};

use crate::atlas::mixture::MixtureConfig;
use crate::error::{Result, TrainError};
use crate::learn::batch::BatchRecipe;
use crate::learn::checkpoint::check_minutes;
use crate::learn::optim::AdamWConfig;
use crate::learn::schedule::Schedule;

/// A recipe; `server/train/recipes` holds those of the pocket model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model's name, for `loupe.json`.
    pub name: String,
    /// What it can and cannot do, for `loupe.json`.
    pub about: String,
    /// The dialect it learns to write.
    pub dialect: String,
    /// Seed of the weights and of the order of batches.
    pub seed: u64,
    /// The model's shape.
    pub model: Shape,
    /// How its tokenizer is made.
    pub tokenizer: TokenizerRecipe,
    /// Largest picture area it sees, in pixels.
    pub max_pixels: u64,
    /// Standard deviation of the first weights.
    pub init_deviation: f64,
    /// A finished run's folder whose tokenizer and weights are taken over; relative to the recipe's own folder.
    #[serde(default)]
    pub start_from: Option<PathBuf>,
    /// AdamW's settings.
    #[serde(default)]
    pub optimiser: AdamWConfig,
    /// The learning rate.
    pub schedule: Schedule,
    /// When the run is complete.
    pub length: Length,
    /// How examples are put together.
    pub batch: BatchRecipe,
    /// Share of the examples that are drills of the tokenizer's tokens, each as often as every other.
    #[serde(default)]
    pub drill: f64,
    /// Weight of the dense teacher's loss beside the language model's.
    pub dense_weight: f64,
    /// Minutes between checkpoints.
    pub save_minutes: f64,
    /// Steps between lines of the log.
    pub log_steps: u64,
    /// What the examples are drawn from.
    #[serde(default)]
    pub mixture: MixtureConfig,
}

/// When a run is complete.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// After this many steps: the same curve on every machine.
    Steps(u64),
    /// After this many minutes of training, pauses between resumed runs left out: the learning rate ends where the time
    /// does, but the curve depends on the machine.
    Minutes(f64),
}

/// A model's shape; what it leaves open follows from the tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Width of the language model.
    pub hidden: usize,
    /// Its layers.
    pub layers: usize,
    /// Its query heads.
    pub heads: usize,
    /// Its key and value heads.
    pub kv_heads: usize,
    /// Width of its feed-forward layers.
    pub intermediate: usize,
    /// Frequencies of the rotary embedding for time, row and column; they add up to half a head.
    pub mrope_section: Vec<usize>,
    /// Base of the rotary embedding.
    pub rope_theta: f32,
    /// Longest conversation in tokens.
    pub max_positions: usize,
    /// The vision tower.
    pub vision: VisionShape,
}

/// A vision tower's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionShape {
    /// Layers.
    pub depth: usize,
    /// Width.
    pub hidden: usize,
    /// Heads.
    pub heads: usize,
    /// Width of the feed-forward layers.
    pub intermediate: usize,
    /// Side of an attention window in pixels.
    pub window: usize,
    /// Layers that see the whole picture.
    pub full_attention: Vec<usize>,
}

/// How a tokenizer is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Tokens, the special ones included.
    pub vocab: usize,
    /// Examples whose text is read.
    pub examples: u64,
    /// Texts that become one token each.
    pub whole: Vec<String>,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// When the file cannot be read or a field does not fit.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(TrainError::file(path))?;
        let bad = |reason: String| TrainError::Recipe { path: path.to_owned(), reason };
        let mut recipe: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        recipe.check().map_err(bad)?;
        if let (Some(start), Some(folder)) = (&mut recipe.start_from, path.parent()) {
            *start = folder.join(&*start);
        }
        Ok(recipe)
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.optimiser.check()?;
        self.schedule.check()?;
        self.batch.check()?;
        check_minutes(self.save_minutes)?;
        if self.log_steps == 0 {
            return Err("log_steps has to be above 0".into());
        }
        if !(0.0..=1.0).contains(&self.drill) {
            return Err("drill has to be from 0 to 1".into());
        }
        match self.length {
            Length::Minutes(minutes) if minutes > 0.0 => Ok(()),
            Length::Steps(steps) if steps > 0 => Ok(()),
            _ => Err("length has to be above 0".into()),
        }
    }

    /// Which picture sizes the model sees.
    #[must_use]
    pub fn pixel_limits(&self) -> PixelLimits {
        PixelLimits { max_pixels: self.max_pixels, ..PixelLimits::default() }
    }

    /// The model's configuration for a tokenizer of `vocab` tokens whose picture tokens are `tokens`.
    ///
    /// # Errors
    /// When the shape contradicts itself.
    pub fn config(&self, vocab: usize, tokens: VisionTokens) -> Result<ModelConfig> {
        let (text, vision) = (&self.model, &self.model.vision);
        let config = ModelConfig {
            text: TextConfig {
                vocab_size: vocab,
                hidden_size: text.hidden,
                intermediate_size: text.intermediate,
                layers: text.layers,
                heads: text.heads,
                kv_heads: text.kv_heads,
                rms_norm_eps: 1e-6,
                rope_theta: text.rope_theta,
                mrope_section: text.mrope_section.clone(),
                max_positions: text.max_positions,
            },
            vision: VisionConfig {
                depth: vision.depth,
                hidden_size: vision.hidden,
                intermediate_size: vision.intermediate,
                heads: vision.heads,
                window_size: vision.window,
                full_attention_blocks: vision.full_attention.clone(),
                out_hidden_size: text.hidden,
                rope_theta: 1e4,
            },
            tied: true,
            tokens,
        };
        config.check().map_err(|error| TrainError::Recipe {
            path: PathBuf::from("model"),
            reason: error.to_string(),
        })?;
        Ok(config)
    }
}
