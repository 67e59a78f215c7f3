//! The fields of `config.json` as they stand in the file.
//!
//! Absent fields take the defaults of transformers' configuration classes, since transformers leaves out what equals
//! its default.

use serde::Deserialize;

use super::vision::{FRAMES, MERGE, PATCH};

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Root {
    pub(super) image_token_id: u32,
    pub(super) video_token_id: u32,
    pub(super) vision_start_token_id: u32,
    pub(super) vision_end_token_id: u32,
    pub(super) tie_word_embeddings: bool,
}

impl Default for Root {
    fn default() -> Self {
        Self {
            image_token_id: 151_655,
            video_token_id: 151_656,
            vision_start_token_id: 151_652,
            vision_end_token_id: 151_653,
            tie_word_embeddings: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Text {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: Option<usize>,
    pub(super) hidden_act: String,
    pub(super) rms_norm_eps: f32,
    pub(super) max_position_embeddings: usize,
    pub(super) use_sliding_window: Option<bool>,
    pub(super) tie_word_embeddings: bool,
    pub(super) rope_theta: Option<f32>,
    pub(super) rope_scaling: Option<Rope>,
    pub(super) rope_parameters: Option<Rope>,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            vocab_size: 152_064,
            hidden_size: 8192,
            intermediate_size: 29_568,
            num_hidden_layers: 80,
            num_attention_heads: 64,
            num_key_value_heads: Some(8),
            hidden_act: "silu".into(),
            rms_norm_eps: 1e-5,
            max_position_embeddings: 32_768,
            use_sliding_window: None,
            tie_word_embeddings: false,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Rope {
    pub(super) rope_theta: Option<f32>,
    pub(super) rope_type: Option<String>,
    /// The older name of `rope_type`; some files carry both.
    #[serde(rename = "type")]
    pub(super) old_type: Option<String>,
    pub(super) mrope_section: Option<Vec<usize>>,
}

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Vision {
    pub(super) depth: usize,
    pub(super) hidden_size: usize,
    pub(super) hidden_act: String,
    pub(super) intermediate_size: usize,
    pub(super) num_heads: usize,
    pub(super) in_channels: Option<usize>,
    /// The name of `in_channels` in the hub's checkpoints.
    pub(super) in_chans: Option<usize>,
    pub(super) patch_size: usize,
    pub(super) spatial_merge_size: usize,
    pub(super) temporal_patch_size: usize,
    pub(super) window_size: usize,
    pub(super) out_hidden_size: usize,
    pub(super) fullatt_block_indexes: Vec<usize>,
    pub(super) rope_parameters: Option<Rope>,
}

impl Default for Vision {
    fn default() -> Self {
        Self {
            depth: 32,
            hidden_size: 3584,
            hidden_act: "silu".into(),
            intermediate_size: 3420,
            num_heads: 16,
            in_channels: None,
            in_chans: None,
            patch_size: PATCH,
            spatial_merge_size: MERGE,
            temporal_patch_size: FRAMES,
            window_size: 112,
            out_hidden_size: 3584,
            fullatt_block_indexes: vec![7, 15, 23, 31],
            rope_parameters: None,
        }
    }
}
