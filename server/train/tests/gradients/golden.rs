//! What PyTorch and peft computed (tests/golden/tune/generate.py), and how a pass is held against it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::Files;
use loupe_mllm::model::{Grid, Positions};
use loupe_mllm::ops::Term;
use loupe_train::learn::batch::{Batch, Place};
use loupe_train::learn::pass::Pass;
use loupe_train::learn::sequence::Sequence;
use loupe_train::tune::base::Base;
use loupe_train::tune::grpo::objective::{Objective, Token};
use loupe_train::tune::lora::{self, LoraConfig};

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(path)
}

pub(crate) fn tensors(path: &str) -> HashMap<String, Tensor> {
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

/// The shape of the golden adapter.
pub(crate) fn shape() -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() }
}

/// The files of the golden model.
pub(crate) fn files() -> Files {
    Files::folder(&golden("qwen2_5_vl/tied"))
}

/// Puts the golden adapter beside the golden model, and gives so many copies of the conversation `several` with the golden
/// targets.
pub(crate) fn set_up(base: &Base, expected: &HashMap<String, Tensor>, copies: usize) -> Batch {
    let adapter = Files::folder(&golden("qwen2_5_vl/tied/adapters/all"));
    let adapter = Adapter::open(&adapter, &base.config).expect("an adapter");
    lora::take(&adapter, &base.learner.params, &shape()).expect("the same shape");

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
    Batch::new(&rows, base.chat.image_token, Place::default()).expect("a batch")
}

/// The pass of fine-tuning.
pub(crate) fn fine_tuned(base: &Base, batch: &Batch) -> Pass {
    let total: f32 = batch.targets.iter().map(|target| target.weight).sum();
    let found = base.learner.pass(batch, 1.0, |row, surprise| {
        let weight = batch.targets[row].weight / total;
        Term { value: weight * surprise, slope: weight }
    });
    found.expect("a pass")
}

/// The pass of GRPO by the golden numbers of that name, where a judge that is shown the same says how well targets are
/// foretold without the pairs, and, if it is another than `base`, how well with them.
pub(crate) fn reinforced(
    base: &Base,
    batch: &Batch,
    expected: &HashMap<String, Tensor>,
    name: &str,
    (judge, shown): (&Base, &Batch),
) -> Pass {
    let count = batch.targets.len() as f32;
    let advantages = floats(&expected["advantages"]);
    let before = floats(&expected[&format!("{name}.before")]);
    let objective = Objective { clip: 0.2, kl: 0.05 };
    let temperature = base.learner.temperature;
    let foretold =
        |with_pairs| judge.learner.model.foretold(shown, temperature, with_pairs).expect("a pass").rows;
    let reference = foretold(false);
    let judged = (!std::ptr::eq(base, judge)).then(|| foretold(true));
    let found = base.learner.pass(batch, 1.0, |row, surprise| {
        // Of two rows that are the same, both have the golden tokens.
        let nth = row % advantages.len();
        let (advantage, before) = (advantages[nth], Some(before[nth]));
        let token = Token { advantage, before, reference: reference[row] };
        let surprise = judged.as_ref().map_or(surprise, |judged| judged[row]);
        let Term { value, slope } = objective.part(&token, surprise).term;
        Term { value: value / count, slope: slope / count }
    });
    found.expect("a pass")
}

/// How far a pass may be from the golden one, as parts of the sizes.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) loss: f32,
    /// The gradient in the middle of all, and the worst.
    pub(crate) middle: f32,
    pub(crate) worst: f32,
}

/// Holds a pass against the golden loss and gradients of that name.
pub(crate) fn hold(found: &Pass, expected: &HashMap<String, Tensor>, name: &str, tolerance: Tolerance) {
    let loss = floats(&expected[&format!("{name}.loss")])[0];
    let (got, wanted) = (found.loss as f32, loss);
    assert!((got - wanted).abs() <= tolerance.loss * wanted.abs(), "{name}: loss {got}, PyTorch {wanted}");
    let mut all = Vec::new();
    for (key, wanted) in expected {
        let Some(module) = key.strip_prefix(&format!("{name}.base_model.model.")) else { continue };
        // The checkpoint's names are those of the hub.
        let ours = module.replace("model.language_model.", "model.");
        let grad = floats(found.grads.get(&ours).expect(&ours));
        let wanted = floats(wanted);
        let norm = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let apart: Vec<f32> = grad.iter().zip(&wanted).map(|(a, b)| a - b).collect();
        assert_eq!(grad.len(), wanted.len(), "{ours}");
        all.push((norm(&apart) / norm(&wanted), ours));
    }
    assert!(all.len() > 20, "{} gradients", all.len());
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (middle, worst) = (&all[all.len() / 2], &all[all.len() - 1]);
    eprintln!("{name}: loss {got} for {wanted}, gradients {middle:?}, {worst:?} apart");
    assert!(middle.0 < tolerance.middle && worst.0 < tolerance.worst, "{name}: {middle:?} {worst:?}");
}
