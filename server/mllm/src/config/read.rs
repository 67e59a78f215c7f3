//! `config.json` as transformers writes it: the hub's flat layout, or the nested one of transformers 4.52 and later.

use serde_json::Value;

use super::raw::{Root, Rope, Text, Vision};
use super::vision::{FRAMES, MERGE, PATCH};
use super::{ConfigError, ModelConfig, ParseError, TextConfig, VisionConfig, VisionTokens};

pub(super) const MODEL_TYPE: &str = "qwen2_5_vl";
pub(super) const ARCHITECTURE: &str = "Qwen2_5_VLForConditionalGeneration";

pub(super) fn parse(json: &[u8]) -> Result<ModelConfig, ParseError> {
    let value: Value = serde_json::from_slice(json).map_err(|e| malformed(&e))?;
    check_architecture(&value)?;
    let root: Root = fields(&value)?;
    let text: Text = fields(value.get("text_config").filter(|v| v.is_object()).unwrap_or(&value))?;
    let vision = value.get("vision_config").ok_or_else(|| {
        ConfigError::new("vision_config is missing", "an object with the vision tower's shape")
    })?;
    let vision: Vision = fields(vision)?;
    let tied = root.tie_word_embeddings || text.tie_word_embeddings;
    Ok(ModelConfig {
        text: text_config(text)?,
        vision: vision_config(vision)?,
        tied,
        tokens: VisionTokens {
            image: root.image_token_id,
            video: root.video_token_id,
            start: root.vision_start_token_id,
            end: root.vision_end_token_id,
        },
    })
}

fn malformed(error: &serde_json::Error) -> ConfigError {
    ConfigError::new(error.to_string(), "a Qwen2.5-VL config.json")
}

fn fields<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, ConfigError> {
    serde_json::from_value(value.clone()).map_err(|e| malformed(&e))
}

fn check_architecture(value: &Value) -> Result<(), ParseError> {
    let named = value.pointer("/architectures/0").and_then(Value::as_str);
    let model_type = value.get("model_type").and_then(Value::as_str);
    let fits = named.is_none_or(|name| name == ARCHITECTURE)
        && model_type.is_none_or(|name| name == MODEL_TYPE)
        && (named.is_some() || model_type.is_some());
    if fits {
        return Ok(());
    }
    let found = match (named, model_type) {
        (None, None) => "not named".to_owned(),
        (named, kind) => {
            format!("{} (model_type {})", named.unwrap_or("not named"), kind.unwrap_or("not named"))
        }
    };
    Err(ParseError::Architecture(found))
}

fn text_config(text: Text) -> Result<TextConfig, ConfigError> {
    expect_silu("hidden_act", &text.hidden_act)?;
    if text.use_sliding_window == Some(true) {
        return Err(ConfigError::new(
            "use_sliding_window is true",
            "false: sliding windows are not supported",
        ));
    }
    let rope = text.rope_parameters.or(text.rope_scaling).unwrap_or_default();
    check_rope(&rope)?;
    Ok(TextConfig {
        vocab_size: text.vocab_size,
        hidden_size: text.hidden_size,
        intermediate_size: text.intermediate_size,
        layers: text.num_hidden_layers,
        heads: text.num_attention_heads,
        kv_heads: text.num_key_value_heads.unwrap_or(text.num_attention_heads),
        rms_norm_eps: text.rms_norm_eps,
        rope_theta: rope.rope_theta.or(text.rope_theta).unwrap_or(1e6),
        mrope_section: rope.mrope_section.unwrap_or_else(|| vec![16, 24, 24]),
        max_positions: text.max_position_embeddings,
    })
}

fn check_rope(rope: &Rope) -> Result<(), ConfigError> {
    let kind = rope.rope_type.as_deref().or(rope.old_type.as_deref()).unwrap_or("default");
    if matches!(kind, "default" | "mrope") {
        return Ok(());
    }
    Err(ConfigError::new(format!("rope type {kind}"), "default or mrope"))
}

fn vision_config(vision: Vision) -> Result<VisionConfig, ConfigError> {
    expect_silu("vision_config.hidden_act", &vision.hidden_act)?;
    let fixed = [
        ("in_channels", vision.in_channels.or(vision.in_chans).unwrap_or(3), 3),
        ("patch_size", vision.patch_size, PATCH),
        ("spatial_merge_size", vision.spatial_merge_size, MERGE),
        ("temporal_patch_size", vision.temporal_patch_size, FRAMES),
    ];
    if let Some((name, got, expected)) = fixed.iter().find(|(_, got, expected)| got != expected) {
        return Err(ConfigError::new(format!("vision_config.{name} is {got}"), expected.to_string()));
    }
    Ok(VisionConfig {
        depth: vision.depth,
        hidden_size: vision.hidden_size,
        intermediate_size: vision.intermediate_size,
        heads: vision.num_heads,
        window_size: vision.window_size,
        full_attention_blocks: vision.fullatt_block_indexes,
        out_hidden_size: vision.out_hidden_size,
        rope_theta: vision.rope_parameters.and_then(|rope| rope.rope_theta).unwrap_or(1e4),
    })
}

fn expect_silu(name: &str, got: &str) -> Result<(), ConfigError> {
    if got == "silu" {
        return Ok(());
    }
    Err(ConfigError::new(format!("{name} is {got}"), "silu"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> ModelConfig {
        let json = json!({
            "model_type": "qwen2_5_vl", "vocab_size": 600, "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "rope_theta": 1e6, "rope_scaling": { "type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3] },
            "image_token_id": 510, "video_token_id": 511, "vision_start_token_id": 507, "vision_end_token_id": 508,
            "vision_config": { "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
                "in_chans": 3, "window_size": 112, "out_hidden_size": 64, "fullatt_block_indexes": [1] },
        });
        ModelConfig::parse(json.to_string().as_bytes()).expect("a valid configuration")
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let config = sample();
        let again = ModelConfig::parse(config.to_json().to_string().as_bytes()).expect("own output");
        assert_eq!(again, config);
    }

    #[test]
    fn contradictions_name_the_field() {
        let mut value = sample().to_json();
        value["rope_scaling"]["mrope_section"] = json!([1, 1, 1]);
        let error = ModelConfig::parse(value.to_string().as_bytes()).expect_err("sections do not fit");
        assert!(error.to_string().contains("mrope_section"), "{error}");

        let mut value = sample().to_json();
        value["vision_config"]["out_hidden_size"] = json!(32);
        let error = ModelConfig::parse(value.to_string().as_bytes()).expect_err("widths do not fit");
        assert!(error.to_string().contains("out_hidden_size"), "{error}");
    }

    #[test]
    fn other_architectures_are_refused() {
        let mut value = sample().to_json();
        value["architectures"][0] = json!("LlavaForConditionalGeneration");
        let error = ModelConfig::parse(value.to_string().as_bytes()).expect_err("another model");
        assert!(matches!(error, ParseError::Architecture(ref found) if found.contains("Llava")), "{error}");
    }
}
