//! Tuning of a tiny model with random weights (tests/golden/qwen2_5_vl/tied).

#[path = "../../../../mllm/tests/golden/cuda/emulator.rs"]
mod emulator;
mod gpu;
mod lora;
mod sft;

use std::path::{Path, PathBuf};

use loupe_mllm::Processor;
use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::{Files, read_config};

use super::base::Base;
use super::lora::LoraConfig;
use super::recipe::SftRecipe;
use crate::learn::optim::AdamWConfig;

/// The linear maps that `only(&["q_proj", "gate_proj"])` means. The vision tower has a gate_proj, too.
const SOME: [&str; 4] = [
    "model.layers.0.mlp.gate_proj",
    "model.layers.0.self_attn.q_proj",
    "model.layers.1.mlp.gate_proj",
    "model.layers.1.self_attn.q_proj",
];

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl").join(path)
}

/// The model with new pairs beside its weights.
fn base(lora: &LoraConfig, optimiser: AdamWConfig) -> Base {
    Base::open(Processor::Cpu, &Files::folder(&golden("tied")), lora, optimiser, 3).unwrap()
}

/// An adapter for a checkpoint.
fn adapter_in(folder: &Path, checkpoint: &str) -> Adapter {
    let config = read_config(&Files::folder(&golden(checkpoint))).unwrap();
    Adapter::open(&Files::folder(folder), &config).unwrap()
}

/// An adapter that peft wrote for a checkpoint.
fn adapter(checkpoint: &str, name: &str) -> Adapter {
    adapter_in(&golden(checkpoint).join("adapters").join(name), checkpoint)
}

/// The shape of peft's adapter `all`.
fn shape() -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() }
}

/// The same for some of the decoder's maps.
fn only(targets: &[&str]) -> LoraConfig {
    LoraConfig { targets: targets.iter().map(|target| (*target).to_owned()).collect(), ..shape() }
}

/// A recipe for as many steps as there are epochs, measured after each.
fn recipe() -> SftRecipe {
    serde_json::from_value(serde_json::json!({
        "seed": 3,
        "lora": { "rank": 4, "alpha": 8.0 },
        "schedule": { "peak": 0.003, "warmup_steps": 1, "decay": "linear" },
        "epochs": 3,
        "batch": { "tokens": 2048, "pictures": 8, "max_length": 512, "pool": 8 },
        "early_stop": { "every": 1, "patience": 1 },
        "log_steps": 1,
        "save_minutes": 60,
    }))
    .unwrap()
}
