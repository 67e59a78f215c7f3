//! The linear maps that an adapter may change, and their keys in its file.
//!
//! A map is known by the name of its weight on the hub, without `.weight`: `model.layers.3.mlp.up_proj`,
//! `visual.blocks.0.attn.qkv`.

use crate::config::vision::MERGE;
use crate::config::{ModelConfig, TextConfig, VisionConfig};

/// What PEFT puts before every module path.
const PREFIX: &str = "base_model.model.";
/// The decoder's maps in a layer.
const LAYER: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// One of the two matrices of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    fn suffix(self) -> &'static str {
        match self {
            Self::A => ".lora_A.weight",
            Self::B => ".lora_B.weight",
        }
    }
}

/// A key of an adapter's file, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// The module's path as PEFT saw it: `model.language_model.layers.3.mlp.up_proj`.
    pub(super) path: &'a str,
    pub(super) side: Side,
}

/// Takes a key apart; nothing when it is none of a pair's.
pub(super) fn parse(key: &str) -> Option<Key<'_>> {
    let path = key.strip_prefix(PREFIX)?;
    [Side::A, Side::B]
        .into_iter()
        .find_map(|side| Some(Key { path: path.strip_suffix(side.suffix())?, side }))
}

/// The key of a map's matrix, with the module paths of transformers 4.52 and later.
pub(super) fn key(module: &str, side: Side) -> String {
    key_of_path(&path(module), side)
}

/// The key of a module path's matrix.
pub(super) fn key_of_path(path: &str, side: Side) -> String {
    format!("{PREFIX}{path}{}", side.suffix())
}

/// The module path of a map in transformers 4.52 and later.
pub(super) fn path(module: &str) -> String {
    match module.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{module}"),
    }
}

/// The map behind a module path, which may also be of transformers before 4.52.
pub(super) fn module(path: &str) -> String {
    if let Some(rest) = path.strip_prefix("model.language_model.") {
        return format!("model.{rest}");
    }
    match path.strip_prefix("model.") {
        Some(rest) if rest.starts_with("visual.") => rest.to_owned(),
        _ => path.to_owned(),
    }
}

/// All maps of a model's decoder.
pub(super) fn of_decoder(config: &TextConfig) -> impl Iterator<Item = String> {
    let layers = config.layers;
    (0..layers).flat_map(|layer| LAYER.map(|name| format!("model.layers.{layer}.{name}")))
}

/// The shape `[outputs, inputs]` of a map's weight; nothing when the model has no such map.
pub(super) fn shape(module: &str, config: &ModelConfig) -> Option<[usize; 2]> {
    if let Some(rest) = module.strip_prefix("model.layers.") {
        let (layer, name) = rest.split_once('.')?;
        return in_layer(name, &config.text).filter(|_| is_below(layer, config.text.layers));
    }
    if let Some(rest) = module.strip_prefix("visual.blocks.") {
        let (block, name) = rest.split_once('.')?;
        return in_block(name, &config.vision).filter(|_| is_below(block, config.vision.depth));
    }
    let merged = config.vision.hidden_size * MERGE * MERGE;
    match module {
        "visual.merger.mlp.0" => Some([merged, merged]),
        "visual.merger.mlp.2" => Some([config.vision.out_hidden_size, merged]),
        _ => None,
    }
}

/// Whether a path leads into a numbered layer or block, of which models have more or fewer.
pub(super) fn is_numbered(module: &str) -> bool {
    module.starts_with("model.layers.") || module.starts_with("visual.blocks.")
}

/// Whether a map belongs to the vision tower or its merger.
pub(crate) fn is_vision(module: &str) -> bool {
    module.starts_with("visual.")
}

/// A number as module paths write it, below `count`.
fn is_below(number: &str, count: usize) -> bool {
    number.parse::<usize>().is_ok_and(|parsed| parsed < count && parsed.to_string() == number)
}

/// The shape `[outputs, inputs]` of a map of a layer.
pub(crate) fn in_layer(name: &str, config: &TextConfig) -> Option<[usize; 2]> {
    let (width, kv_width, inner) = (config.hidden_size, config.kv_size(), config.intermediate_size);
    match name {
        "self_attn.q_proj" | "self_attn.o_proj" => Some([width, width]),
        "self_attn.k_proj" | "self_attn.v_proj" => Some([kv_width, width]),
        "mlp.gate_proj" | "mlp.up_proj" => Some([inner, width]),
        "mlp.down_proj" => Some([width, inner]),
        _ => None,
    }
}

fn in_block(name: &str, config: &VisionConfig) -> Option<[usize; 2]> {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    match name {
        "attn.qkv" => Some([3 * width, width]),
        "attn.proj" => Some([width, width]),
        "mlp.gate_proj" | "mlp.up_proj" => Some([inner, width]),
        "mlp.down_proj" => Some([width, inner]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_both_generations_name_the_same_map() {
        for (key, expected) in [
            ("model.language_model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
            ("model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
            ("model.visual.blocks.0.attn.qkv", "visual.blocks.0.attn.qkv"),
            ("visual.merger.mlp.2", "visual.merger.mlp.2"),
        ] {
            let key = format!("base_model.model.{key}.lora_B.weight");
            let parsed = parse(&key).unwrap();
            assert_eq!((module(parsed.path).as_str(), parsed.side), (expected, Side::B));
        }
        assert_eq!(parse("base_model.model.lm_head.weight"), None);
        assert_eq!(parse("model.layers.3.mlp.up_proj.lora_A.weight"), None);
    }

    #[test]
    fn a_written_key_reads_back() {
        for name in
            ["model.layers.0.self_attn.k_proj", "visual.blocks.2.mlp.down_proj", "visual.merger.mlp.0"]
        {
            let key = key(name, Side::A);
            let parsed = parse(&key).unwrap();
            assert_eq!((module(parsed.path).as_str(), parsed.side), (name, Side::A), "{key}");
        }
    }
}
