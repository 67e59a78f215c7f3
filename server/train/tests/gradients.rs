//! The losses of fine-tuning and of GRPO and their gradients, against PyTorch and peft (tests/golden/tune/generate.py).
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::Files;
use loupe_mllm::model::{Grid, Positions};
use loupe_mllm::ops::Term;
use loupe_train::learn::batch::{Batch, Place};
use loupe_train::learn::optim::AdamWConfig;
use loupe_train::learn::pass::{Pass, foretold, see};
use loupe_train::learn::sequence::Sequence;
use loupe_train::tune::base::Base;
use loupe_train::tune::grpo::objective::{Objective, Token};
use loupe_train::tune::lora::{self, LoraConfig};

const TOLERANCE: f32 = 1e-4;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(path)
}

fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(path), &Device::Cpu).expect("a golden file")
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().expect("a tensor").to_vec1().expect("f32")
}

fn whole<T: TryFrom<i64>>(tensor: &Tensor) -> Vec<T> {
    let values = tensor.to_dtype(DType::I64).expect("whole numbers").flatten_all().expect("a tensor");
    let values = values.to_vec1::<i64>().expect("i64");
    values.into_iter().filter_map(|value| T::try_from(value).ok()).collect()
}

/// With and without checkpointing; a row alone, and two that are the same, of which each is computed with half of the
/// threads beside the other.
const WAYS: [(bool, usize); 4] = [(false, 1), (true, 1), (false, 2), (true, 2)];

/// The model with the golden adapter, and so many copies of the conversation `several` with the golden targets.
fn set_up(expected: &HashMap<String, Tensor>, (checkpointing, copies): (bool, usize)) -> (Base, Batch) {
    let config = LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() };
    let files = Files::folder(&golden("qwen2_5_vl/tied"));
    let mut base = Base::open(&files, &config, AdamWConfig::default(), 1).expect("a model");
    let adapter = Files::folder(&golden("qwen2_5_vl/tied/adapters/all"));
    let adapter = Adapter::open(&adapter, &base.config).expect("an adapter");
    lora::take(&adapter, &base.learner.params, &config).expect("the same shape");
    base.learner.checkpointing = checkpointing;

    let inputs = tensors("qwen2_5_vl/tied/expected.safetensors");
    let ids: Vec<u32> = whole(&inputs["several.input_ids"]);
    let grids: Vec<usize> = whole(&inputs["several.image_grid_thw"]);
    let grids: Vec<Grid> = grids.chunks(3).map(|thw| Grid { rows: thw[1], columns: thw[2] }).collect();
    // The golden file keeps one of the two equal frames.
    let patches = floats(&inputs["several.pixel_values"]);
    let patches = patches.chunks(196).flat_map(|channel| [channel, channel].concat()).collect();
    let mut weights = vec![0.0; ids.len()];
    for (nth, at) in whole::<usize>(&expected["targets"]).into_iter().enumerate() {
        weights[at] = if nth % 2 == 1 { 1.0 } else { 0.5 };
    }
    let sequence = Sequence {
        kind: "golden",
        positions: Positions::of(&ids, base.chat.image_token, &grids).expect("positions"),
        turns: vec![0; ids.len()],
        ids,
        weights,
        grids,
        patches,
        cells: Vec::new(),
    };
    let rows = vec![sequence; copies];
    let batch = Batch::new(&rows, base.chat.image_token, Place::default()).expect("a batch");
    (base, batch)
}

/// Holds a pass against the golden loss and gradients of that name.
fn hold(found: &Pass, expected: &HashMap<String, Tensor>, name: &str) {
    let loss = floats(&expected[&format!("{name}.loss")])[0];
    let (got, wanted) = (found.loss as f32, loss);
    assert!((got - wanted).abs() <= TOLERANCE * wanted.abs(), "{name}: loss {got}, PyTorch {wanted}");
    let mut held = 0;
    for (key, wanted) in expected {
        let Some(module) = key.strip_prefix(&format!("{name}.base_model.model.")) else { continue };
        // The checkpoint's names are those of the hub.
        let ours = module.replace("model.language_model.", "model.");
        let grad = floats(found.grads.get(&ours).expect(&ours));
        let wanted = floats(wanted);
        let norm = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let apart: Vec<f32> = grad.iter().zip(&wanted).map(|(a, b)| a - b).collect();
        assert_eq!(grad.len(), wanted.len(), "{ours}");
        let apart = norm(&apart) / norm(&wanted);
        assert!(apart < TOLERANCE, "{name}: {ours} is {apart} apart");
        held += 1;
    }
    assert!(held > 20, "{held} gradients");
}

#[test]
fn fine_tuning_has_pytorchs_gradients() {
    let expected = tensors("tune/expected.safetensors");
    for way in WAYS {
        let (base, batch) = set_up(&expected, way);
        let total: f32 = batch.targets.iter().map(|target| target.weight).sum();
        let found = base.learner.pass(&batch, 1.0, |row, surprise| {
            let weight = batch.targets[row].weight / total;
            Term { value: weight * surprise, slope: weight }
        });
        hold(&found.expect("a pass"), &expected, "sft");
    }
}

#[test]
fn grpo_has_pytorchs_loss_and_gradients_at_any_temperature() {
    let expected = tensors("tune/expected.safetensors");
    let advantages = floats(&expected["advantages"]);
    let without = Base::reference(&Files::folder(&golden("qwen2_5_vl/tied"))).expect("the model");
    let objective = Objective { clip: 0.2, kl: 0.05 };
    for way in WAYS {
        let (mut base, mut batch) = set_up(&expected, way);
        let count = batch.targets.len() as f32;
        // In `dual`, tokens are so much likelier than before that some cost the most that they may.
        for (name, temperature) in [("grpo", 1.0), ("cooled", 0.7), ("dual", 1.0)] {
            base.learner.temperature = temperature;
            let before = floats(&expected[&format!("{name}.before")]);
            let reference = foretold(&without, &batch, temperature).expect("the reference").rows;
            let found = base.learner.pass(&batch, 1.0, |row, surprise| {
                // Of two rows that are the same, both have the golden tokens.
                let nth = row % advantages.len();
                let (advantage, before) = (advantages[nth], Some(before[nth]));
                let token = Token { advantage, before, reference: reference[row] };
                let Term { value, slope } = objective.part(&token, surprise).term;
                Term { value: value / count, slope: slope / count }
            });
            hold(&found.expect("a pass"), &expected, name);
            // The second time its pictures are known already.
            see(&without, &mut batch).expect("pictures");
        }
    }
}
