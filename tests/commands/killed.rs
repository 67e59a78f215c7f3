//! Every stage killed and resumed.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{folder, kill_at, run};

/// The lines of a log without what the clock decides.
fn curve(folder: &Path, log: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(log)).unwrap();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.retain(|name, _| !name.contains("second"));
        line
    };
    text.lines().map(line).collect()
}

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Trains in the folder `whole`, and in `killed` with a kill after some lines of the log; both must be the same in the
/// end, what was learnt included.
fn survives_a_kill(recipe: &Value, command: &str, learnt: &str) {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("recipe.json"), recipe.to_string()).unwrap();
    run(folder, &format!("{command} --out @whole"));
    kill_at(folder, &format!("{command} --out @killed"), "killed/log.jsonl", 2);
    run(folder, &format!("{command} --out @killed --resume"));
    let whole = curve(folder, "whole/log.jsonl");
    assert!(whole.len() >= 4, "{whole:?}");
    assert_eq!(curve(folder, "killed/log.jsonl"), whole);
    assert!(
        bytes(folder, &format!("killed/{learnt}")) == bytes(folder, &format!("whole/{learnt}")),
        "{learnt}"
    );
    assert!(folder.join("killed/curve.svg").exists());
}

#[test]
fn fine_tuning() {
    let recipe = json!({
        "seed": 2,
        "lora": { "rank": 4, "alpha": 8.0, "dropout": 0.1 },
        "schedule": { "peak": 0.003, "warmup_steps": 2, "decay": "cosine" },
        "epochs": 3,
        "batch": { "tokens": 2048, "pictures": 8, "max_length": 1024, "pool": 8 },
        "log_steps": 1,
        "save_minutes": 0,
    });
    let command = "train sft --recipe @recipe.json --data @data/trajectories.jsonl";
    survives_a_kill(&recipe, command, "adapter/adapter_model.safetensors");
}

#[test]
fn reinforcement() {
    let recipe = json!({
        "seed": 1,
        "lora": { "rank": 4, "alpha": 8.0 },
        "schedule": { "peak": 0.001, "warmup_steps": 1, "decay": "cosine" },
        "steps": 4,
        "questions": 3,
        "group": 4,
        "boxes": true,
        "turn_tokens": 96,
        "batch": { "tokens": 2048, "pictures": 8, "max_length": 1536, "pool": 8 },
        "guard": { "kl": 10.0, "reward": 0.0 },
        "save_steps": 1,
    });
    let command = "train grpo --recipe @recipe.json --data @data/questions.jsonl --index @atlas";
    survives_a_kill(&recipe, command, "adapter/adapter_model.safetensors");
}

#[test]
fn pretraining() {
    let recipe = json!({
        "name": "toy", "about": "A toy.", "dialect": "deepmm", "seed": 5,
        "model": {
            "hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate": 48, "mrope_section": [1, 1, 2],
            "rope_theta": 1e4, "max_positions": 1024,
            "vision": { "depth": 2, "hidden": 32, "heads": 2, "intermediate": 48, "window": 112, "full_attention": [1] },
        },
        "tokenizer": { "vocab": 1300, "examples": 200, "whole": ["<answer>"] },
        "max_pixels": 50176, "init_deviation": 0.05,
        "schedule": { "peak": 0.003, "warmup_steps": 4, "decay": "cosine" },
        "length": { "steps": 24 },
        "batch": { "tokens": 2048, "pictures": 8, "max_length": 1024, "pool": 16 },
        "dense_weight": 1.0, "save_minutes": 0, "log_steps": 1, "drill": 0.2,
    });
    let command = "train pretrain --recipe @recipe.json --atlas @atlas";
    survives_a_kill(&recipe, command, "model/model.safetensors");
}

#[test]
fn evaluation() {
    let folder = folder();
    let folder = folder.path();
    let command = "eval --data @data/questions.jsonl --index @atlas --concurrency 1";
    run(folder, &format!("{command} --report @whole"));
    kill_at(folder, &format!("{command} --report @killed"), "killed/rows.jsonl", 3);
    run(folder, &format!("{command} --report @killed"));
    let answers = |report: &str| {
        let report: Value = serde_json::from_slice(&bytes(folder, report)).unwrap();
        let rows = report["workflows"][0]["rows"].as_array().unwrap().clone();
        rows.into_iter().map(|row| (row["id"].clone(), row["answer"].clone())).collect::<Vec<_>>()
    };
    let whole = answers("whole/report.json");
    assert_eq!((whole.len(), answers("killed/report.json")), (16, whole.clone()));
}

#[test]
fn a_data_set_is_there_as_a_whole_or_not_at_all() {
    let folder = folder();
    let folder = folder.path();
    let command = "dataset build --atlas @atlas --count 300 --seed 4";
    run(folder, &format!("{command} --out @whole"));
    let mut child = crate::program::program(folder, &format!("{command} --out @killed")).spawn().unwrap();
    while !folder.join("killed/images").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("killed/questions.jsonl").exists(), "a half-written data set");
    run(folder, &format!("{command} --out @killed"));
    for file in ["questions.jsonl", "trajectories.jsonl"] {
        assert!(
            bytes(folder, &format!("killed/{file}")) == bytes(folder, &format!("whole/{file}")),
            "{file}"
        );
    }
}
