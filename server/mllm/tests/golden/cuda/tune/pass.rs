//! Whole passes with their gradients against candle's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use candle_core::Var;
use loupe_mllm::checkpoint::{Files, read_config};
use loupe_mllm::config::ModelConfig;
use loupe_mllm::cuda::gpu::Gpu;
use loupe_mllm::cuda::tune::{Load, Tuning, memory};
use loupe_mllm::lm::Input;
use loupe_mllm::model::{Dropout, Grid, LowRank, Positions, Qwen2_5Vl};
use loupe_mllm::ops::{self, Term};
use loupe_mllm::tuning::{Reading, Tuner};
use loupe_mllm::weights::Weights;
use loupe_mllm::{Device, Result};

use super::super::bench::{Tensor, numbers, on_each_gpu, tensor, values};
use super::super::emulator::{Emulator, is_possible};
use super::super::model::Rounded;
use super::var;
use crate::common::folder;

on_each_gpu!(
    a_pass_is_that_of_the_definition,
    a_pass_without_pairs_is_that_of_the_decoder_alone,
    a_pass_drops_what_the_definition_drops,
    batches_that_do_not_fit_are_refused,
);

/// A GPU that threads may share.
trait Tunable: Gpu<Memory: Send, Program: Send, Graph: Send> + Send {}

impl<G: Gpu<Memory: Send, Program: Send, Graph: Send> + Send> Tunable for G {}

/// A checkpoint with pairs beside some of its maps.
struct WithPairs {
    base: Rounded,
    seed: Arc<AtomicU64>,
    rate: f32,
    pairs: Mutex<BTreeMap<String, [Var; 2]>>,
}

/// Their rank.
const RANK: usize = 4;
/// A map without a pair.
const PLAIN: &str = "model.layers.1.self_attn.k_proj";

impl WithPairs {
    fn new(rate: f32) -> Self {
        Self { base: Rounded::open(), seed: Arc::default(), rate, pairs: Mutex::default() }
    }
}

impl Weights for WithPairs {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.base.get(name, shape)
    }

    fn beside(&self, module: &str, [outputs, inputs]: [usize; 2]) -> Result<Option<LowRank>> {
        if module == PLAIN || !module.starts_with("model.layers.") {
            return Ok(None);
        }
        let mut pairs = self.pairs.lock().expect("one thread");
        let nth = pairs.len() as u32;
        let [a, b] = pairs.entry(module.to_owned()).or_insert_with(|| {
            let half = |rows, columns, seed| {
                let numbers: Vec<f32> =
                    numbers(rows * columns, seed).iter().map(|number| number / 4.0).collect();
                var(&numbers, [rows, columns])
            };
            [half(RANK, inputs, 2 * nth), half(outputs, RANK, 2 * nth + 1)]
        });
        let map = module.bytes().map(u64::from).sum();
        let dropout = Dropout { rate: self.rate, map, seed: self.seed.clone() };
        Ok(Some(LowRank { a: a.as_tensor().clone(), b: b.as_tensor().clone(), scale: 0.5, dropout }))
    }
}

const CHECKPOINT: &str = "tied";

fn config() -> ModelConfig {
    read_config(&Files::folder(&folder(CHECKPOINT))).expect("a configuration")
}

/// A picture of two tokens, and what stands for them.
const GRID: Grid = Grid { rows: 2, columns: 4 };
const IMAGE: u32 = 1 << 20;

/// A sequence: words, with a picture among them where it is long enough.
fn ids(length: usize) -> Vec<u32> {
    (0..length)
        .map(|at| if length > 6 && (3..5).contains(&at) { IMAGE } else { (at * 7 % 200) as u32 })
        .collect()
}

fn positions(ids: &[u32]) -> Positions {
    let grids = if ids.contains(&IMAGE) { vec![GRID] } else { Vec::new() };
    Positions::of(ids, IMAGE, &grids).expect("positions")
}

/// Sequences of such lengths; every second token foretells one.
fn reading(config: &ModelConfig, lengths: &[usize]) -> Reading {
    let mut reading = Reading { lengths: lengths.to_vec(), temperature: 0.7, ..Reading::default() };
    for ids in lengths.iter().map(|length| ids(*length)) {
        let positions = positions(&ids);
        reading
            .positions
            .extend((0..ids.len()).map(|at| [0, 1, 2].map(|axis: usize| positions.rows()[axis][at])));
        let input = |id| if id == IMAGE { Input::Embedding } else { Input::Token(id) };
        reading.inputs.extend(ids.into_iter().map(input));
    }
    let given = reading.inputs.iter().filter(|input| **input == Input::Embedding).count();
    reading.embeds = numbers(given * config.text.hidden_size, 9);
    reading.targets = (0..reading.inputs.len() as u32).step_by(2).map(|at| (at, at * 13 % 200)).collect();
    reading
}

/// A loss that weighs targets differently, some of them the other way.
fn term(row: usize, surprise: f32) -> Term {
    let slope = (row % 5) as f32 * 0.3 - 0.4;
    Term { value: slope * surprise, slope }
}

/// The same batch by the definition, sequence by sequence: surprises, loss, and the pairs' gradients.
fn defined(
    model: &Qwen2_5Vl,
    pairs: &BTreeMap<String, [Var; 2]>,
    reading: &Reading,
) -> (Vec<f32>, f64, BTreeMap<String, [Vec<f32>; 2]>) {
    let hidden = model.config().text.hidden_size;
    let (mut start, mut given, mut target) = (0, 0, 0);
    let (mut rows, mut loss) = (Vec::new(), None::<Tensor>);
    for length in &reading.lengths {
        let own = start..start + length;
        let mut embeds = Vec::new();
        for input in &reading.inputs[own.clone()] {
            embeds.push(match input {
                Input::Token(id) => {
                    model.embed(&Tensor::new(&[*id], &Device::Cpu).expect("an id")).expect("a word")
                }
                Input::Embedding => {
                    given += 1;
                    tensor(&reading.embeds[(given - 1) * hidden..given * hidden], [1, hidden])
                }
            });
        }
        let embeds = Tensor::cat(&embeds, 0).and_then(|embeds| embeds.unsqueeze(0)).expect("a sequence");
        let rotary = model.rotary(&[positions(&ids(*length))], *length).expect("angles");
        let x = model.forward(&embeds, &rotary, None).and_then(|x| x.squeeze(0)).expect("hidden states");
        let targets: Vec<(u32, u32)> =
            reading.targets.iter().filter(|(at, _)| own.contains(&(*at as usize))).copied().collect();
        let chosen: Vec<u32> = targets.iter().map(|(at, _)| at - start as u32).collect();
        let ids: Vec<u32> = targets.iter().map(|(_, id)| *id).collect();
        let x = x.index_select(&Tensor::new(chosen, &Device::Cpu).expect("rows"), 0).expect("rows");
        let x = (x / f64::from(reading.temperature)).expect("rows");
        let found = ops::linear_likelihood(&x, model.output_weight(), &ids, |row, surprise| {
            term(target + row, surprise)
        });
        let found = found.expect("surprises");
        target += ids.len();
        start += length;
        rows.extend(found.rows);
        loss = Some(match loss {
            Some(sum) => (sum + found.loss).expect("a sum"),
            None => found.loss,
        });
    }
    let loss = loss.expect("a sequence");
    let grads = loss.backward().expect("gradients");
    let gradient = |var: &Var| values(grads.get(var).expect("a gradient").contiguous());
    let grads = pairs.iter().map(|(module, pair)| (module.clone(), pair.each_ref().map(gradient))).collect();
    (rows, f64::from(loss.to_scalar::<f32>().expect("a number")), grads)
}

/// How far numbers are apart, as a part of their size.
fn apart(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let size = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|n| n * n).sum::<f32>().sqrt();
    size(&mut got.iter().zip(expected).map(|(a, b)| a - b)) / size(&mut expected.iter().copied())
}

/// A pass and its gradients beside the definition's.
fn compare<G: Tunable>(open: impl Fn() -> G, weights: &WithPairs, lengths: &[usize], rounding: f32) {
    let config = config();
    let model = Qwen2_5Vl::load(&config, weights).expect("a model");
    let tuning = Tuning::load([open(), open()], &config, weights).expect("a model");
    let reading = reading(&config, lengths);
    let pairs = weights.pairs.lock().expect("one thread").clone();
    let (rows, loss, grads) = defined(&model, &pairs, &reading);
    let learnt = tuning.learn(&reading, &term).expect("a pass");
    assert!(apart(&learnt.words.rows, &rows) < rounding, "surprises: {}", apart(&learnt.words.rows, &rows));
    let by_terms: f64 = learnt
        .words
        .rows
        .iter()
        .enumerate()
        .map(|(row, surprise)| f64::from(term(row, *surprise).value))
        .sum();
    assert!(
        (learnt.loss - by_terms).abs() < 1e-4
            && (learnt.loss - loss).abs() < f64::from(rounding) * loss.abs().max(1.0)
    );
    assert_eq!(learnt.grads.len(), pairs.len());
    assert!(!grads.contains_key(PLAIN));
    let mut found = Vec::new();
    for (module, halves) in &learnt.grads {
        for (half, expected) in halves.iter().zip(&grads[module]) {
            let apart = apart(&values(half.flatten_all()), expected);
            found.push((apart, format!("{module} {:?}", half.dims())));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (middle, last) = (&found[found.len() / 2], &found[found.len() - 1]);
    eprintln!("{lengths:?}: {middle:?} {last:?}");
    assert!(middle.0 < rounding && last.0 < 1.5 * rounding, "gradients are apart: {middle:?} {last:?}");
    assert_eq!(tuning.foretell(&reading, true).expect("a pass"), learnt.words);
}

/// How far a gradient may be apart, because what is multiplied is rounded to bf16.
const ROUNDING: f32 = 0.04;

fn a_pass_is_that_of_the_definition<G: Tunable>(open: impl Fn() -> G) {
    // A sequence of one token, and one whose queries are scored in two stretches.
    compare(&open, &WithPairs::new(0.0), &[7, 1], ROUNDING);
    compare(&open, &WithPairs::new(0.0), &[7, 1, 520], ROUNDING);
}

fn a_pass_drops_what_the_definition_drops<G: Tunable>(open: impl Fn() -> G) {
    let weights = WithPairs::new(0.5);
    weights.seed.store(11, Ordering::Relaxed);
    // One sequence, as the definition's numbers are counted within one.
    compare(&open, &weights, &[40], ROUNDING);
}

fn a_pass_without_pairs_is_that_of_the_decoder_alone<G: Tunable>(open: impl Fn() -> G) {
    let (config, weights) = (config(), WithPairs::new(0.0));
    let tuning = Tuning::load([open(), open()], &config, &weights).expect("a model");
    let alone = Qwen2_5Vl::load(&config, &weights.base).expect("a model");
    let reading = reading(&config, &[9, 30]);
    let (rows, ..) = defined(&alone, &BTreeMap::from([]), &reading);
    let without = tuning.foretell(&reading, false).expect("a pass").rows;
    assert!(apart(&without, &rows) < ROUNDING, "{}", apart(&without, &rows));
    let with = tuning.foretell(&reading, true).expect("a pass").rows;
    assert!(apart(&with, &rows) > 3.0 * ROUNDING, "the pairs change little: {}", apart(&with, &rows));
}

fn batches_that_do_not_fit_are_refused<G: Tunable>(open: impl Fn() -> G) {
    let (config, weights) = (config(), WithPairs::new(0.0));
    let tuning = Tuning::load([open(), open()], &config, &weights).expect("a model");
    let good = reading(&config, &[7]);
    let says = |reading: Reading, what: &str| {
        let error = tuning.foretell(&reading, true).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    };
    says(Reading { inputs: Vec::new(), ..good.clone() }, "0 tokens, 7 positions, 7 in sequences");
    says(Reading { lengths: vec![4], ..good.clone() }, "4 in sequences");
    says(reading(&config, &[70_000]), "a GPU takes 65535 at once");
    says(Reading { embeds: vec![0.0], ..good.clone() }, "1 values for 2 embeddings");
    says(Reading { targets: vec![(0, 1 << 20)], ..good.clone() }, "token 1048576 is not one of");
    says(Reading { targets: vec![(7, 1)], ..good.clone() }, "place 7 is not one of 7");
    says(Reading { targets: vec![(3, 1), (4, 1), (3, 2)], ..good }, "place 3 foretells two tokens");
}

#[test]
fn a_pass_takes_the_memory_that_its_shape_says() {
    if !is_possible() {
        return;
    }
    let (config, weights, gpu) = (config(), WithPairs::new(0.5), Emulator::default());
    weights.seed.store(11, Ordering::Relaxed);
    let tuning = Tuning::load([gpu.clone(), gpu], &config, &weights).expect("a model");
    let held = tuning.taken().expect("a number") as f64;
    let pairs = weights.pairs.lock().expect("one thread");
    let trained: usize = pairs.values().flatten().map(|half| half.elem_count()).sum();
    // More targets than are scored at once.
    let (tokens, longest) = (64 + 500, 500);
    let load = Load {
        trained: trained as u64,
        rank: RANK,
        drops: true,
        tokens,
        longest,
        patches: 2 * GRID.patches(),
    };
    let [frozen, pass] = memory(&config, &load).map(|bytes| bytes as f64);
    // Norms and biases are left out, and the pairs are brought for a pass.
    assert!((0.9..1.1).contains(&((frozen - 6.0 * trained as f64) / held)), "{frozen} of {held}");
    tuning.learn(&reading(&config, &[64, longest]), &term).expect("a pass");
    let most = tuning.taken().expect("a number") as f64;
    assert!((1.0..1.1).contains(&((frozen + pass) / most)), "{frozen} and {pass} of {most}");
}
