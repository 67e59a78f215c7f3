//! `config.json` in the hub's flat layout.

use serde_json::Value;

use super::ModelConfig;
use super::read::{ARCHITECTURE, MODEL_TYPE};
use super::vision::{FRAMES, MERGE, PATCH};

pub(super) fn json(config: &ModelConfig) -> Value {
    let (text, vision) = (&config.text, &config.vision);
    serde_json::json!({
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "vocab_size": text.vocab_size,
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": decimal(text.rms_norm_eps),
        "rope_theta": decimal(text.rope_theta),
        "rope_scaling": { "type": "mrope", "mrope_section": text.mrope_section },
        "max_position_embeddings": text.max_positions,
        "use_sliding_window": false,
        "tie_word_embeddings": config.tied,
        "image_token_id": config.tokens.image,
        "video_token_id": config.tokens.video,
        "vision_start_token_id": config.tokens.start,
        "vision_end_token_id": config.tokens.end,
        "vision_config": {
            "model_type": MODEL_TYPE,
            "depth": vision.depth,
            "hidden_size": vision.hidden_size,
            "hidden_act": "silu",
            "intermediate_size": vision.intermediate_size,
            "num_heads": vision.heads,
            "in_channels": 3,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES,
            "window_size": vision.window_size,
            "out_hidden_size": vision.out_hidden_size,
            "fullatt_block_indexes": vision.full_attention_blocks,
        },
    })
}

/// The shortest decimal that reads back as the same f32: 1e-6 rather than 9.999999974752427e-7.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}
