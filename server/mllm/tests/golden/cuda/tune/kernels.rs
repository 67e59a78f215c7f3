//! Each kernel of tuning against the arithmetic that it stands for.

use candle_core::{D, Var};
use loupe_mllm::Device;
use loupe_mllm::cuda::gpu::{Address, Gpu, Memory};
use loupe_mllm::cuda::kernels::Heads;
use loupe_mllm::cuda::tune::kernels::{Angles, Draws, NormBack, Parts, Scores, Targets};
use loupe_mllm::ops::{self, Term};

use super::super::bench::{
    BF16, Bench, EPS, NARROW, SUMS, Tensor, assert_close, numbers, on_each_gpu, tensor, values,
};
use super::var;

on_each_gpu!(
    heads_turn_and_their_gradients_turn_back,
    weights_of_scores_and_their_gradients,
    gates_and_norms_and_their_gradients,
    surprises_of_targets_and_their_gradients,
    what_is_dropped_has_no_gradient,
);

/// The gradient of `x` when what `f` makes of it has the gradient `slope`.
fn gradient(x: &Var, made: &Tensor, slope: &Tensor) -> Vec<f32> {
    let loss = (made * slope).and_then(|product| product.sum_all()).expect("a sum");
    let grads = loss.backward().expect("gradients");
    values(grads.get(x).expect("a gradient").contiguous())
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
