//! The vision tower's shape.

use loupe_shared::pixels::patches as pixels;

use super::ConfigError;

/// Side of a patch in pixels; the pixel path shared with the browser is made for it.
pub const PATCH: usize = pixels::PATCH as usize;
/// Patches merged into one token, per side.
pub const MERGE: usize = pixels::MERGE as usize;
/// Frames in one patch; a still picture fills them with copies.
pub const FRAMES: usize = 2;
/// Values in a patch: colours, frames, rows, columns.
pub const PATCH_VALUES: usize = 3 * FRAMES * PATCH * PATCH;

/// The vision transformer and its merger.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Attention heads.
    pub heads: usize,
    /// Side of an attention window in pixels.
    pub window_size: usize,
    /// Blocks that attend over the whole picture.
    pub full_attention_blocks: Vec<usize>,
    /// Width of the merged tokens; the language model's.
    pub out_hidden_size: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
}

impl VisionConfig {
    /// Numbers of the weights of tower and merger.
    pub(super) fn parameters(&self) -> usize {
        let (hidden, inner, merged) =
            (self.hidden_size, self.intermediate_size, self.hidden_size * MERGE * MERGE);
        let attention = (hidden + 1) * 3 * hidden + (hidden + 1) * hidden;
        let mlp = 2 * (hidden + 1) * inner + (inner + 1) * hidden;
        let norms = 2 * hidden;
        let merger = hidden + (merged + 1) * merged + (merged + 1) * self.out_hidden_size;
        PATCH_VALUES * hidden + self.depth * (attention + mlp + norms) + merger
    }

    /// Width of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.heads
    }

    /// Side of an attention window in merged cells.
    #[must_use]
    pub fn window_cells(&self) -> usize {
        self.window_size / MERGE / PATCH
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vision_config.depth", self.depth),
            ("vision_config.hidden_size", self.hidden_size),
            ("vision_config.intermediate_size", self.intermediate_size),
            ("vision_config.num_heads", self.heads),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ConfigError::new(format!("{name} is 0"), "at least 1"));
        }
        if !self.hidden_size.is_multiple_of(self.heads) || !self.head_dim().is_multiple_of(4) {
            return Err(ConfigError::new(
                format!("vision_config.hidden_size {} over {} heads", self.hidden_size, self.heads),
                "a width per head that is a multiple of 4",
            ));
        }
        if self.window_cells() == 0 {
            return Err(ConfigError::new(
                format!("vision_config.window_size is {}", self.window_size),
                format!("at least {}", PATCH * MERGE),
            ));
        }
        if self.rope_theta.is_nan() || self.rope_theta <= 0.0 {
            return Err(ConfigError::new(
                format!("vision_config rope_theta is {}", self.rope_theta),
                "above 0",
            ));
        }
        Ok(())
    }
}
