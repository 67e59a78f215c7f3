//! Tuning on the kernels: each of them, and a whole pass with its gradients, against the definition on the CPU.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use candle_core::{D, Var};
use loupe_mllm::checkpoint::{Files, read_config};
use loupe_mllm::config::ModelConfig;
use loupe_mllm::cuda::gpu::{Address, Gpu, Memory};
use loupe_mllm::cuda::kernels::Heads;
use loupe_mllm::cuda::tune::kernels::{Angles, Draws, NormBack, Parts, Scores, Targets};
use loupe_mllm::cuda::tune::{Load, Tuning, memory};
use loupe_mllm::lm::Input;
use loupe_mllm::model::{Dropout, Grid, LowRank, Positions, Qwen2_5Vl};
use loupe_mllm::ops::{self, Term};
use loupe_mllm::tuning::{Reading, Tuner};
use loupe_mllm::weights::Weights;
use loupe_mllm::{Device, Result};

use super::bench::{
    BF16, Bench, EPS, NARROW, SUMS, Tensor, assert_close, numbers, on_each_gpu, tensor, values,
};
use super::emulator::{Emulator, is_possible};
use super::model::Rounded;
use crate::common::folder;

on_each_gpu!(
    heads_turn_and_their_gradients_turn_back,
    weights_of_scores_and_their_gradients,
    gates_and_norms_and_their_gradients,
    surprises_of_targets_and_their_gradients,
    what_is_dropped_has_no_gradient,
    a_pass_is_that_of_the_definition,
    a_pass_without_pairs_is_that_of_the_decoder_alone,
    a_pass_drops_what_the_definition_drops,
    batches_that_do_not_fit_are_refused,
);

/// The gradient of `x` when what `f` makes of it has the gradient `slope`.
fn gradient(x: &Var, made: &Tensor, slope: &Tensor) -> Vec<f32> {
    let loss = (made * slope).and_then(|product| product.sum_all()).expect("a sum");
    let grads = loss.backward().expect("gradients");
    values(grads.get(x).expect("a gradient").contiguous())
}

fn var<const N: usize>(values: &[f32], shape: [usize; N]) -> Var {
    Var::from_tensor(&tensor(values, shape)).expect("a variable")
}

fn heads_turn_and_their_gradients_turn_back<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let Heads { kv_heads, group, width } = NARROW;
    let (rows, heads, half) = (3, kv_heads * group, width / 2);
    let all = heads + 2 * kv_heads;
    let (qkv, bias) = (numbers(rows * all * width, 1), numbers(all * width, 2));
    let positions = [[5i32, 7, 9], [2000, 3, 1], [0, 0, 0]];
    let frequencies: Vec<f32> = (0..half).map(|i| 1e4f32.powf(-(i as f32) / half as f32)).collect();
    let axes: Vec<i32> = (0..half as i32).map(|i| i % 3).collect();
    let on_gpu =
        [bench.i32(positions.as_flattened()), bench.f32(&frequencies), bench.i32(&axes), bench.f32(&qkv)];
    let added = bench.f32(&bias);
    let [positions_at, frequencies_at, axes_at, qkv_at] = on_gpu.each_ref().map(Memory::address);
    let angles = Angles { positions: positions_at, frequencies: frequencies_at, axes: axes_at };
    let out = [heads, kv_heads, kv_heads].map(|heads| bench.room(2 * rows * heads * width));
    // Queries lie by key head; as rows they are what they were.
    let by_rows = bench.room(2 * rows * heads * width);
    let [queries, keys, values_at] = out.each_ref().map(Memory::address);
    let parts = Parts { queries, keys, values: values_at };
    bench.kernels().turn_heads((qkv_at, added.address()), angles, parts, rows).expect("a launch");
    bench.kernels().by_rows(queries, by_rows.address(), rows).expect("a launch");

    let mut turns = Vec::new();
    for position in positions {
        turns.extend((0..half).map(|i| position[axes[i] as usize] as f32 * frequencies[i]));
    }
    let turn =
        |f: fn(f32) -> f32| tensor(&turns.iter().map(|angle| f(*angle)).collect::<Vec<_>>(), [1, rows, half]);
    let (cos, sin) = (turn(f32::cos), turn(f32::sin));
    let given = var(&qkv, [1, rows, all, width]);
    let biased = given.broadcast_add(&tensor(&bias, [1, 1, all, width])).expect("a sum");
    let by_head = biased.transpose(1, 2).expect("heads");
    let mut slopes = Vec::new();
    let mut gradients = vec![0f32; qkv.len()];
    for (nth, (first, count)) in
        [(0, heads), (heads, kv_heads), (heads + kv_heads, kv_heads)].into_iter().enumerate()
    {
        let part = by_head.narrow(1, first, count).expect("a part");
        let part = if nth < 2 { ops::rope(&part, &cos, &sin).expect("turned") } else { part };
        let part = part.transpose(1, 2).and_then(|part| part.contiguous()).expect("rows");
        let memory = if nth == 0 { &by_rows } else { &out[nth] };
        let got = bench.read_bf16(memory, rows * count * width);
        assert_close(&got, &values(Ok(part.clone())), BF16, "turned heads");
        let slope = numbers(rows * count * width, 7 + nth as u32);
        let own = gradient(&given, &part, &tensor(&slope, [1, rows, count, width]));
        gradients.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        slopes.push(match nth {
            0 => {
                let narrow = bench.room(2 * slope.len());
                bench
                    .kernels()
                    .by_heads(bench.f32(&slope).address(), narrow.address(), rows)
                    .expect("a launch");
                bench.f32(&bench.read_bf16(&narrow, slope.len()))
            }
            _ => bench.f32(&slope),
        });
    }
    let [queries, keys, values_at] = [0, 1, 2].map(|nth: usize| slopes[nth].address());
    let back = bench.room(2 * qkv.len());
    let slopes = Parts { queries, keys, values: values_at };
    bench.kernels().turn_back(slopes, angles, back.address(), rows).expect("a launch");
    assert_close(&bench.read_bf16(&back, qkv.len()), &gradients, BF16, "heads turned back");
}

fn weights_of_scores_and_their_gradients<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    // More keys than a block has threads, and no multiple of the stride's.
    let (planes, tokens, keys, first, stride) = (2, 3, 300, 297, 304);
    let queries = tokens * NARROW.group;
    let count = planes * queries * stride;
    let (given, slopes) = (numbers(count, 1), numbers(count, 2));
    let sees = |at: usize| at % stride <= first + at / stride / NARROW.group;
    let mask: Vec<f32> = (0..queries * stride).map(|at| if sees(at) { 0.0 } else { -1e9 }).collect();
    let scores = var(&given, [planes, queries, stride]);
    let masked = scores.broadcast_add(&tensor(&mask, [1, queries, stride])).expect("a sum");
    let exp = masked.exp().expect("exponentials");
    let weights = exp.sum_keepdim(D::Minus1).and_then(|sum| exp.broadcast_div(&sum)).expect("weights");
    let expected = values(Ok(weights.clone()));
    let gradients = gradient(&scores, &weights, &tensor(&slopes, [planes, queries, stride]));

    let (at, out, slopes, back, again) = (
        bench.f32(&given),
        bench.room(2 * count),
        bench.f32(&slopes),
        bench.room(2 * count),
        bench.room(2 * count),
    );
    let scores = Scores { at: at.address(), planes, queries, keys, stride, first };
    bench.kernels().weigh(scores, out.address()).expect("a launch");
    assert_close(&bench.read_bf16(&out, count), &expected, BF16 / 100.0, "weights");
    let to = [again.address(), back.address()];
    bench.kernels().weigh_back(scores, slopes.address(), to).expect("a launch");
    assert_eq!(bench.read_bf16(&again, count), bench.read_bf16(&out, count));
    assert_close(&bench.read_bf16(&back, count), &gradients, BF16 / 100.0, "gradients of scores");
}

fn gates_and_norms_and_their_gradients<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let (rows, inner) = (3, 300);
    let (pairs, slopes) = (numbers(rows * 2 * inner, 1), numbers(rows * inner, 2));
    let given = var(&pairs, [rows, 2 * inner]);
    let [gate, up] = [0, inner].map(|from| given.narrow(1, from, inner).expect("half"));
    let gated = ops::swiglu(&gate, &up).expect("a gate");
    let (at, out) = (bench.f32(&pairs), bench.room(2 * rows * inner));
    bench.kernels().gate(at.address(), out.address(), [rows, inner]).expect("a launch");
    assert_close(&bench.read_bf16(&out, rows * inner), &values(Ok(gated.clone())), BF16, "a gate");
    let expected = gradient(&given, &gated, &tensor(&slopes, [rows, inner]));
    let (slopes, back) = (bench.f32(&slopes), bench.room(2 * pairs.len()));
    let kernels = bench.kernels();
    kernels.gate_back(at.address(), slopes.address(), back.address(), [rows, inner]).expect("a launch");
    assert_close(&bench.read_bf16(&back, pairs.len()), &expected, BF16, "a gate's gradient");

    // The first and the last of three rows, in another order; and all of them.
    let width = 300;
    let (x, weight, before) = (numbers(3 * width, 3), numbers(width, 4), numbers(3 * width, 5));
    for order in [vec![2i32, 0], vec![0, 1, 2]] {
        let slopes = numbers(order.len() * width, 6);
        let given = var(&x, [3, width]);
        let chosen = order.iter().map(|row| *row as u32).collect::<Vec<_>>();
        let chosen = given.index_select(&Tensor::new(chosen, &Device::Cpu).expect("rows"), 0).expect("rows");
        let normed = ops::rms_norm(&chosen, &tensor(&weight, [width]), EPS).expect("a norm");
        let expected = gradient(&given, &normed, &tensor(&slopes, [order.len(), width]));
        let expected: Vec<f32> = expected.iter().zip(&before).map(|(a, b)| a + b).collect();
        let (into, order_at) = (bench.f32(&before), bench.i32(&order));
        let memory = [bench.f32(&x), bench.f32(&weight), bench.f32(&slopes)];
        let [x, weight, slopes] = memory.each_ref().map(Memory::address);
        let norm = NormBack {
            x,
            weight,
            slopes,
            order: if order.len() < 3 { order_at.address() } else { Address::NULL },
            into: into.address(),
            rows: order.len(),
            width,
            eps: EPS,
        };
        bench.kernels().norm_back(&norm).expect("a launch");
        assert_close(&bench.read_f32(into.address(), 3 * width), &expected, SUMS, "a norm's gradient");
    }
}

/// Numbers that are said of a target.
const SAID: usize = 4;

fn surprises_of_targets_and_their_gradients<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let (rows, classes, targets) = (3, 700, [5u32, 699, 0]);
    let mut scores = numbers(rows * classes, 1);
    scores[classes + 699] = 9.0;
    let slopes = [0.5f32, -2.0, 0.0];
    // A product with the identity is the scores themselves.
    let given = var(&scores, [rows, classes]);
    let unit: Vec<f32> =
        (0..classes * classes).map(|at| f32::from(u8::from(at % (classes + 1) == 0))).collect();
    let found =
        ops::linear_likelihood(&given, &tensor(&unit, [classes, classes]), &targets, |row, surprise| Term {
            value: slopes[row] * surprise,
            slope: slopes[row],
        });
    let found = found.expect("surprises");
    let expected = gradient(&given, &found.loss, &tensor(&[1.0], [1]).squeeze(0).expect("a number"));

    let memory = [bench.f32(&scores), bench.i32(&targets.map(|id| id as i32)), bench.room(4 * SAID * rows)];
    let [scores, at, said] = memory.each_ref().map(Memory::address);
    let targets = Targets { scores, targets: at, said, rows, classes };
    bench.kernels().surprise(&targets).expect("a launch");
    let said = bench.read_f32(said, SAID * rows);
    let column = |nth: usize| said.iter().skip(nth).step_by(SAID).copied().collect::<Vec<_>>();
    assert_close(&column(0), &found.rows, SUMS, "surprises");
    let right: Vec<bool> = column(3).into_iter().map(|right| right > 0.0).collect();
    assert_eq!(right, found.right);
    assert_eq!(right, [false, true, false]);
    let (slopes, back) = (bench.f32(&slopes), bench.room(2 * rows * classes));
    bench.kernels().surprise_back(&targets, slopes.address(), back.address()).expect("a launch");
    assert_close(&bench.read_bf16(&back, rows * classes), &expected, BF16 / 10.0, "their gradients");
}

fn what_is_dropped_has_no_gradient<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    // More than come from one state.
    let (count, keep) = (10_000, 1.25f32);
    let draws: [u64; 2] = [12_345, u64::MAX / 5];
    let words: Vec<i32> = bytemuck::cast_slice(&draws).to_vec();
    let (x, slopes, before) = (numbers(count, 1), numbers(count, 2), numbers(count, 3));
    let at = bench.i32(&words);
    let draws = Draws { at: at.address(), keep };
    let (given, out) = (bench.bf16(&x), bench.room(2 * count));
    bench.kernels().dropped(given.address(), out.address(), draws, count).expect("a launch");
    let left = bench.read_bf16(&out, count);
    let (by, into) = (bench.f32(&slopes), bench.f32(&before));
    bench.kernels().add_dropped(by.address(), into.address(), draws, count).expect("a launch");
    let into = bench.read_f32(into.address(), count);
    let mut kept = 0;
    for at in (0..count).filter(|at| x[*at] != 0.0) {
        let is_kept = left[at] != 0.0;
        kept += usize::from(is_kept);
        let factor = if is_kept { keep } else { 0.0 };
        assert!((left[at] - x[at] * factor).abs() <= BF16 * x[at].abs() * 2.0, "{at}");
        assert!((into[at] - before[at] - slopes[at] * factor).abs() < SUMS, "{at}");
    }
    assert!((kept as f32 / count as f32 - 0.8).abs() < 0.02, "{kept} of {count} are kept");
}

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
fn compare<G>(open: impl Fn() -> G, weights: &WithPairs, lengths: &[usize], rounding: f32)
where
    G: Gpu + Send,
    G::Memory: Send,
    G::Program: Send,
    G::Graph: Send,
{
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

fn a_pass_is_that_of_the_definition<G>(open: impl Fn() -> G)
where
    G: Gpu + Send,
    G::Memory: Send,
    G::Program: Send,
    G::Graph: Send,
{
    // A sequence of one token, and one whose queries are scored in two stretches.
    compare(&open, &WithPairs::new(0.0), &[7, 1], ROUNDING);
    compare(&open, &WithPairs::new(0.0), &[7, 1, 520], ROUNDING);
}

fn a_pass_drops_what_the_definition_drops<G>(open: impl Fn() -> G)
where
    G: Gpu + Send,
    G::Memory: Send,
    G::Program: Send,
    G::Graph: Send,
{
    let weights = WithPairs::new(0.5);
    weights.seed.store(11, Ordering::Relaxed);
    // One sequence, as the definition's numbers are counted within one.
    compare(&open, &weights, &[40], ROUNDING);
}

fn a_pass_without_pairs_is_that_of_the_decoder_alone<G>(open: impl Fn() -> G)
where
    G: Gpu + Send,
    G::Memory: Send,
    G::Program: Send,
    G::Graph: Send,
{
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

fn batches_that_do_not_fit_are_refused<G>(open: impl Fn() -> G)
where
    G: Gpu + Send,
    G::Memory: Send,
    G::Program: Send,
    G::Graph: Send,
{
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
