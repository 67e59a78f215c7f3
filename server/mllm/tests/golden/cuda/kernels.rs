//! Each kernel against the arithmetic that it stands for.

use std::sync::Arc;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use libloading::Library;
use loupe_mllm::Device;
use loupe_mllm::cuda::gpu::{Address, Gpu, Into, Memory, Product, filled};
use loupe_mllm::cuda::kernels::{Attend, BEST_PARTS, FEW, Heads, Kernels, Norm, SOURCE, Split, TILE, Turn};
use loupe_mllm::lm::BLOCK;
use loupe_mllm::ops::{self, AttentionMask};

use super::emulator::{Emulator, Words};

type Tensor = candle_core::Tensor;

const EPS: f32 = 1e-6;
/// Grouped heads as in the 7B model, and narrow ones.
const WIDE: Heads = Heads { kv_heads: 2, group: 7, width: 128 };
const NARROW: Heads = Heads { kv_heads: 2, group: 3, width: 32 };
/// Heads of a vision tower; the widths of the hub's.
const VISION: Heads = Heads { kv_heads: 2, group: 1, width: 80 };

/// An emulated GPU with its program.
struct Bench {
    gpu: Emulator,
    program: Arc<Library>,
    heads: Heads,
}

impl Bench {
    fn new(heads: Heads) -> Option<Self> {
        let gpu = Emulator::new()?;
        let program = gpu.program(SOURCE, &heads.defines()).expect("kernels that compile");
        Some(Self { gpu, program, heads })
    }

    fn kernels(&self) -> Kernels<'_, Emulator> {
        Kernels { gpu: &self.gpu, program: &self.program, heads: self.heads }
    }

    fn f32(&self, values: &[f32]) -> Words {
        filled(&self.gpu, values).expect("memory")
    }

    fn i32(&self, values: &[i32]) -> Words {
        filled(&self.gpu, values).expect("memory")
    }

    fn bf16(&self, values: &[f32]) -> Words {
        let narrow: Vec<bf16> = values.iter().copied().map(bf16::from_f32).collect();
        filled(&self.gpu, narrow.reinterpret_cast()).expect("memory")
    }

    fn read_f32(&self, from: Address, count: usize) -> Vec<f32> {
        let mut values = vec![0f32; count];
        self.gpu.download(from, bytemuck::cast_slice_mut(&mut values)).expect("memory");
        values
    }

    fn read_i32(&self, from: &Words, count: usize) -> Vec<i32> {
        let mut values = vec![0i32; count];
        self.gpu.download(from.address(), bytemuck::cast_slice_mut(&mut values)).expect("memory");
        values
    }

    fn read_bf16(&self, from: &Words, count: usize) -> Vec<f32> {
        let mut bits = vec![0u16; count];
        self.gpu.download(from.address(), bytemuck::cast_slice_mut(&mut bits)).expect("memory");
        bits.into_iter().map(|bits| bf16::from_bits(bits).to_f32()).collect()
    }

    fn room(&self, bytes: usize) -> Words {
        self.gpu.zeroed(bytes).expect("memory")
    }
}

/// Numbers around 0 that bf16 holds exactly, so that kernel and definition begin with the same.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let number = |i: u32| {
        let bits = i.wrapping_add(seed.wrapping_mul(0x9e37)).wrapping_mul(2_654_435_761).rotate_left(13);
        (bits.wrapping_mul(0x85eb_ca6b) >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count as u32).map(|i| bf16::from_f32(number(i)).to_f32()).collect()
}

/// Holds numbers against others; `rounding` is a part of their size.
fn assert_close(got: &[f32], expected: &[f32], rounding: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let most = rounding * (1.0 + expected.abs());
        assert!((got - expected).abs() <= most, "{what} at {at}: {got}, expected {expected}");
    }
}

/// What rounding a result to bf16 may change, and what sums in another order may.
const BF16: f32 = 1.0 / 256.0;
const SUMS: f32 = 1e-4;

fn tensor<const N: usize>(values: &[f32], shape: [usize; N]) -> Tensor {
    Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).expect("a tensor")
}

fn values(tensor: candle_core::Result<Tensor>) -> Vec<f32> {
    tensor.and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}

#[test]
fn embeddings_come_from_the_table_or_are_given() {
    let Some(bench) = Bench::new(NARROW) else { return };
    let (width, table, given) = (24, numbers(5 * 24, 1), numbers(2 * 24, 2));
    let x = bench.room(4 * 4 * width);
    let (ids, on_gpu, extra) = (bench.i32(&[4, -2, 0, -1]), bench.bf16(&table), bench.f32(&given));
    let at = [&ids, &on_gpu, &extra, &x].map(Memory::address);
    bench.kernels().embed(at[0], at[1], at[2], at[3], [4, width]).expect("a launch");
    let expected = [&table[4 * width..], &given[width..], &table[..width], &given[..width]].concat();
    assert_eq!(bench.read_f32(x.address(), 4 * width), expected);
}

#[test]
fn norms_add_a_bias_and_take_rows_in_any_order() {
    let Some(bench) = Bench::new(NARROW) else { return };
    // Wider than a block has threads.
    let (width, weight, bias, rows) = (300, numbers(300, 1), numbers(300, 2), numbers(3 * 300, 3));
    let (x, out) = (bench.f32(&rows), bench.room(2 * 2 * width));
    let (on_gpu, added, order) = (bench.f32(&weight), bench.f32(&bias), bench.i32(&[2, 0]));
    let norm = Norm {
        x: x.address(),
        bias: added.address(),
        weight: on_gpu.address(),
        order: order.address(),
        out: out.address(),
        rows: 2,
        width,
        eps: EPS,
    };
    bench.kernels().rms_norm(&norm).expect("a launch");
    let sum = |row: usize| rows[row * width..].iter().zip(&bias).map(|(x, b)| x + b).collect::<Vec<_>>();
    assert_eq!(bench.read_f32(x.address(), width), sum(0));
    let both = [sum(2), sum(0)].concat();
    let expected = values(ops::rms_norm(&tensor(&both, [2, width]), &tensor(&weight, [width]), EPS));
    assert_close(&bench.read_bf16(&out, 2 * width), &expected, BF16, "a norm");

    let plain = Norm { bias: Address::NULL, order: Address::NULL, rows: 3, ..norm };
    let (x, out) = (bench.f32(&rows), bench.room(2 * 3 * width));
    bench.kernels().rms_norm(&Norm { x: x.address(), out: out.address(), ..plain }).expect("a launch");
    let expected = values(ops::rms_norm(&tensor(&rows, [3, width]), &tensor(&weight, [width]), EPS));
    assert_close(&bench.read_bf16(&out, 3 * width), &expected, BF16, "a plain norm");
}

#[test]
fn few_rows_times_weights_are_set_added_or_gated() {
    let Some(bench) = Bench::new(NARROW) else { return };
    // An odd number of rows, and columns that no number of threads divides.
    let (rows, columns) = (23, 8 * 291);
    let weights = numbers((rows + 1) * columns, 1);
    let on_gpu = bench.bf16(&weights);
    for count in 1..=FEW {
        let x = numbers(count * columns, 2);
        let product = |rows: usize| {
            let weights = tensor(&weights[..rows * columns], [rows, columns]);
            ops::linear(&tensor(&x, [count, columns]), &weights, None).expect("a product")
        };
        let before = numbers(count * rows, 3);
        let (input, out) = (bench.bf16(&x), bench.f32(&before));
        let ask = Product {
            weights: on_gpu.address(),
            rows,
            columns,
            x: input.address(),
            count,
            out: out.address(),
            into: Into::Add,
        };
        bench.kernels().multiply(&ask).expect("a launch");
        let expected = values(product(rows) + tensor(&before, [count, rows]));
        assert_close(&bench.read_f32(out.address(), count * rows), &expected, SUMS, "a sum");
        bench.kernels().multiply(&Product { into: Into::Set, ..ask }).expect("a launch");
        let expected = values(Ok(product(rows)));
        assert_close(&bench.read_f32(out.address(), count * rows), &expected, SUMS, "a product");

        let inner = rows.div_ceil(2);
        let (both, gated) = (product(2 * inner), bench.room(2 * count * inner));
        let ask = Product { rows: 2 * inner, out: gated.address(), into: Into::SetBf16, ..ask };
        bench.kernels().gemv_swiglu(&ask).expect("a launch");
        let halves = [0, inner].map(|from| both.narrow(1, from, inner).expect("half"));
        let expected = values(ops::swiglu(&halves[0], &halves[1]));
        assert_close(&bench.read_bf16(&gated, count * inner), &expected, BF16, "a gated product");
    }
}

#[test]
fn gates_of_many_rows_with_a_bias_and_without() {
    let Some(bench) = Bench::new(NARROW) else { return };
    let (rows, inner) = (3, 8 * 300);
    let (pairs, bias) = (numbers(rows * 2 * inner, 1), numbers(2 * inner, 2));
    let (on_gpu, added, out) = (bench.bf16(&pairs), bench.f32(&bias), bench.room(2 * rows * inner));
    for bias_at in [Address::NULL, added.address()] {
        let sum = |at: usize| pairs[at] + if bias_at == Address::NULL { 0.0 } else { bias[at % (2 * inner)] };
        let all: Vec<f32> = (0..pairs.len()).map(sum).collect();
        let all = tensor(&all, [rows, 2 * inner]);
        let halves = [0, inner].map(|from| all.narrow(1, from, inner).expect("half"));
        let expected = values(ops::swiglu(&halves[0], &halves[1]));
        bench.kernels().swiglu(on_gpu.address(), bias_at, out.address(), [rows, inner]).expect("a launch");
        assert_close(&bench.read_bf16(&out, rows * inner), &expected, BF16, "a gate");
    }
}

/// Cosines and sines `[1, rows, width / 2]` of angles.
fn turns(angles: &[f32], rows: usize) -> [Tensor; 2] {
    let half = angles.len() / rows;
    [f32::cos, f32::sin]
        .map(|f| tensor(&angles.iter().map(|angle| f(*angle)).collect::<Vec<_>>(), [1, rows, half]))
}

#[test]
fn queries_and_keys_turn_and_find_their_place_in_the_pool() {
    let Some(bench) = Bench::new(NARROW) else { return };
    let Heads { kv_heads, group, width } = NARROW;
    let (rows, heads, half) = (3, kv_heads * group, width / 2);
    let row = (heads + 2 * kv_heads) * width;
    let (qkv, bias) = (numbers(rows * row, 1), numbers(row, 2));
    let positions = [[5u32, 7, 9], [2000, 3, 1], [0, 0, 0]];
    let frequencies: Vec<f32> = (0..half).map(|i| 1e4f32.powf(-(i as f32) / half as f32)).collect();
    let axes: Vec<i32> = (0..half as i32).map(|i| i % 3).collect();
    // The last row is padding.
    let slots = [BLOCK as i32 + 3, 0, -1];
    let flat: Vec<i32> = positions.iter().flatten().map(|at| *at as i32).collect();
    let given = [
        bench.f32(&qkv),
        bench.f32(&bias),
        bench.i32(&flat),
        bench.f32(&frequencies),
        bench.i32(&axes),
        bench.i32(&slots),
    ];
    let [queries, keys, pool_values] =
        [rows * heads, 2 * BLOCK * kv_heads, 2 * BLOCK * kv_heads].map(|heads| bench.room(2 * heads * width));
    let at = given.each_ref().map(Memory::address);
    let turn = Turn {
        qkv: at[0],
        bias: at[1],
        positions: at[2],
        frequencies: at[3],
        axes: at[4],
        slots: at[5],
        queries: queries.address(),
        keys: keys.address(),
        values: pool_values.address(),
    };
    bench.kernels().rope_kv(&turn, rows).expect("a launch");

    let sums: Vec<f32> = qkv.iter().zip(bias.iter().cycle()).map(|(x, b)| x + b).collect();
    let angle = |(row, i): (usize, usize)| positions[row][axes[i] as usize] as f32 * frequencies[i];
    let angles: Vec<f32> = (0..rows * half).map(|n| angle((n / half, n % half))).collect();
    let [cos, sin] = turns(&angles, rows);
    // [1, heads, rows, width]
    let by_head =
        tensor(&sums, [rows, heads + 2 * kv_heads, width]).transpose(0, 1).and_then(|t| t.unsqueeze(0));
    let by_head = by_head.and_then(|t| t.contiguous()).expect("heads");
    let turned = ops::rope(&by_head, &cos, &sin).expect("turned heads");
    let part = |of: &Tensor, from: usize, count: usize| {
        values(of.narrow(1, from, count).and_then(|t| t.transpose(1, 2)?.contiguous()))
    };
    assert_close(&bench.read_bf16(&queries, rows * heads * width), &part(&turned, 0, heads), BF16, "queries");
    for (got, of, from) in [(&keys, &turned, heads), (&pool_values, &by_head, heads + kv_heads)] {
        let expected = part(of, from, kv_heads);
        let pool = bench.read_bf16(got, 2 * BLOCK * kv_heads * width);
        for (row, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot >= 0) {
            for head in 0..kv_heads {
                let (block, within) = (*slot as usize / BLOCK, *slot as usize % BLOCK);
                let at = ((block * kv_heads + head) * BLOCK + within) * width;
                let expected = &expected[(row * kv_heads + head) * width..][..width];
                assert_close(&pool[at..at + width], expected, BF16, "the pool");
            }
        }
        let written = pool.iter().filter(|number| **number != 0.0).count();
        assert!(written <= 2 * kv_heads * width, "padding was written");
    }
}

/// Keys or values `[tokens, kv heads, width]` of a sequence, and the blocks of a pool that hold it.
struct Cached {
    heads: Heads,
    tokens: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cached {
    fn new(heads: Heads, tokens: usize, seed: u32) -> Self {
        let size = tokens * heads.kv_heads * heads.width;
        Self { heads, tokens, keys: numbers(size, seed), values: numbers(size, seed + 1) }
    }

    /// Puts it into blocks that lie in reverse order from `from` on; gives their table.
    fn store(&self, pools: &mut [Vec<f32>; 2], from: usize) -> Vec<i32> {
        let Heads { kv_heads, width, .. } = self.heads;
        let blocks = self.tokens.div_ceil(BLOCK);
        let table: Vec<i32> = (0..blocks).rev().map(|block| (from + block) as i32).collect();
        for (pool, numbers) in pools.iter_mut().zip([&self.keys, &self.values]) {
            pool.resize(pool.len().max((from + blocks) * BLOCK * kv_heads * width), f32::NAN);
            for (n, head) in numbers.chunks_exact(width).enumerate() {
                let (token, kv_head) = (n / kv_heads, n % kv_heads);
                let block = table[token / BLOCK] as usize * kv_heads + kv_head;
                let at = (block * BLOCK + token % BLOCK) * width;
                pool[at..at + width].copy_from_slice(head);
            }
        }
        table
    }

    /// `[1, kv heads, tokens, width]`, the first tokens only.
    fn first(&self, numbers: &[f32], tokens: usize) -> Tensor {
        let Heads { kv_heads, width, .. } = self.heads;
        let all = tensor(&numbers[..tokens * kv_heads * width], [1, tokens, kv_heads, width]);
        all.transpose(1, 2).and_then(|t| t.contiguous()).expect("heads")
    }

    /// What queries `[count, heads, width]` at the end of the first `tokens` see: `[count, heads, width]`.
    fn attended(&self, queries: &[f32], tokens: usize) -> Vec<f32> {
        let heads = self.heads.kv_heads * self.heads.group;
        let count = queries.len() / heads / self.heads.width;
        let q =
            tensor(queries, [1, count, heads, self.heads.width]).transpose(1, 2).and_then(|t| t.contiguous());
        let (k, v) = (self.first(&self.keys, tokens), self.first(&self.values, tokens));
        let mixed =
            ops::attention(&q.expect("heads"), &k, &v, &AttentionMask::Causal { offset: tokens - count });
        values(mixed.and_then(|t| t.transpose(1, 2)?.contiguous()))
    }
}

#[test]
fn single_tokens_attend_over_parts_of_their_keys() {
    for heads in [NARROW, WIDE] {
        let Some(bench) = Bench::new(heads) else { return };
        let width = heads.kv_heads * heads.group * heads.width;
        let sequences = [Cached::new(heads, 75, 1), Cached::new(heads, 33, 3)];
        let (stride, mut pools) = (5, [Vec::new(), Vec::new()]);
        let tables = [sequences[0].store(&mut pools, 0), sequences[1].store(&mut pools, 5)];
        // The row in the middle is padding; the last two are a draft's.
        let rows = [(0, 75), (0, 0), (1, 32), (1, 33)];
        let lengths = rows.map(|(_, length)| length as i32);
        let mut table = Vec::new();
        for (sequence, _) in rows {
            let end = table.len() + stride;
            table.extend_from_slice(&tables[sequence]);
            table.resize(end, 0);
        }
        let queries = numbers(rows.len() * width, 5);
        let split = Split { chunk: 32, parts: 3 };
        let given = [bench.bf16(&queries), bench.bf16(&pools[0]), bench.bf16(&pools[1])];
        let (lengths, table) = (bench.i32(&lengths), bench.i32(&table));
        let out = bench.room(2 * rows.len() * width);
        let space = bench.room(Kernels::<Emulator>::few_space(&heads, split, rows.len()));
        let [q, k, v] = given.each_ref().map(Memory::address);
        let attend = Attend { queries: q, keys: k, values: v, out: out.address() };
        let tables = (table.address(), stride);
        let kernels = bench.kernels();
        kernels
            .attend_few(&attend, lengths.address(), tables, split, rows.len(), space.address())
            .expect("a launch");
        let got = bench.read_bf16(&out, rows.len() * width);
        for (row, (sequence, length)) in rows.into_iter().enumerate() {
            let own = row * width..(row + 1) * width;
            let expected = match length {
                0 => vec![0.0; width],
                _ => sequences[sequence].attended(&queries[own.clone()], length),
            };
            assert_close(&got[own], &expected, 2.0 * BF16, "a token");
        }
    }
}

#[test]
fn keys_are_shared_out_so_that_every_one_is_seen_and_blocks_are_busy() {
    for (rows, blocks) in [(1, 16), (1, 64), (1, 8192), (3, 100), (64, 16), (64, 512)] {
        let split = Split::new(&WIDE, rows, blocks);
        assert!(split.chunk * split.parts >= blocks * BLOCK && split.chunk <= 512, "{split:?}");
        assert!(split.chunk * (split.parts - 1) < blocks * BLOCK, "{split:?}");
    }
    assert!(Split::new(&WIDE, 1, 512).parts >= 128);
}

#[test]
fn prompts_attend_to_what_is_before_them() {
    for heads in [NARROW, WIDE] {
        let Some(bench) = Bench::new(heads) else { return };
        let width = heads.kv_heads * heads.group * heads.width;
        let sequences = [Cached::new(heads, 21 + 70, 1), Cached::new(heads, 66, 3)];
        let (stride, mut pools) = (8, [Vec::new(), Vec::new()]);
        let mut table = sequences[0].store(&mut pools, 0);
        table.resize(stride, 0);
        table.extend(sequences[1].store(&mut pools, 6));
        table.resize(2 * stride, 0);
        let tiles = [[0, 64, 21, 0], [64, 6, 85, 0], [70, 64, 0, 1], [134, 2, 64, 1]];
        let rows = 70 + 66;
        let queries = numbers(rows * width, 5);
        let given = [bench.bf16(&queries), bench.bf16(&pools[0]), bench.bf16(&pools[1])];
        let (tiles_at, table, out) =
            (bench.i32(tiles.as_flattened()), bench.i32(&table), bench.room(2 * rows * width));
        let [q, k, v] = given.each_ref().map(Memory::address);
        let attend = Attend { queries: q, keys: k, values: v, out: out.address() };
        let tables = (table.address(), stride);
        bench.kernels().attend_causal(&attend, (tiles_at.address(), tiles.len()), tables).expect("a launch");
        let got = bench.read_bf16(&out, rows * width);
        let own = [0..70 * width, 70 * width..rows * width];
        for (sequence, own) in sequences.iter().zip(own) {
            let expected = sequence.attended(&queries[own.clone()], sequence.tokens);
            // The weights are rounded to bf16 before they mix values.
            assert_close(&got[own], &expected, 3.0 * BF16, "a prompt");
        }
    }
}

#[test]
fn patches_attend_within_their_windows() {
    let Some(bench) = Bench::new(VISION) else { return };
    let Heads { kv_heads: heads, width, .. } = VISION;
    let ends = [0usize, 64, 80, 150];
    let rows = 150;
    let tiles = [[0, 64, 0, 64], [64, 16, 64, 16], [80, TILE as i32, 80, 70], [144, 6, 80, 70]];
    let parts: Vec<Vec<f32>> = (1..4).map(|seed| numbers(rows * heads * width, seed)).collect();
    let given: Vec<Words> = parts.iter().map(|part| bench.bf16(part)).collect();
    let (tiles_at, out) = (bench.i32(tiles.as_flattened()), bench.room(2 * rows * heads * width));
    let attend = Attend {
        queries: given[0].address(),
        keys: given[1].address(),
        values: given[2].address(),
        out: out.address(),
    };
    bench.kernels().attend_window(&attend, (tiles_at.address(), tiles.len())).expect("a launch");
    let by_head = |part: &Vec<f32>| {
        tensor(part, [1, rows, heads, width]).transpose(1, 2).and_then(|t| t.contiguous()).expect("heads")
    };
    let [q, k, v] = [0, 1, 2].map(|part| by_head(&parts[part]));
    let mixed = ops::attention(&q, &k, &v, &AttentionMask::Segments(ends.to_vec()));
    let expected = values(mixed.and_then(|t| t.transpose(1, 2)?.contiguous()));
    assert_close(&bench.read_bf16(&out, rows * heads * width), &expected, 3.0 * BF16, "a window");
}

#[test]
fn the_tower_parts_and_turns_its_queries_and_keys() {
    let Some(bench) = Bench::new(VISION) else { return };
    let Heads { kv_heads: heads, width, .. } = VISION;
    let (rows, half) = (3, width / 2);
    let (qkv, bias) = (numbers(rows * 3 * heads * width, 1), numbers(3 * heads * width, 2));
    let angles: Vec<f32> = numbers(rows * half, 3).into_iter().map(|n| n * 40.0).collect();
    let given = [bench.f32(&qkv), bench.f32(&bias), bench.f32(&angles)];
    let parts = [0; 3].map(|_| bench.room(2 * rows * heads * width));
    let [qkv_at, bias_at, angles_at] = given.each_ref().map(Memory::address);
    let at = parts.each_ref().map(Memory::address);
    bench.kernels().vision_rope(qkv_at, bias_at, angles_at, at, rows).expect("a launch");
    let sums: Vec<f32> = qkv.iter().zip(bias.iter().cycle()).map(|(x, b)| x + b).collect();
    // [3, heads, rows, width]
    let split = tensor(&sums, [rows, 3, heads, width]).permute((1, 2, 0, 3)).and_then(|t| t.contiguous());
    let split = split.expect("parts");
    let [cos, sin] = turns(&angles, rows);
    for (nth, got) in parts.iter().enumerate() {
        let own = split.narrow(0, nth, 1).expect("a part");
        let own = if nth < 2 { ops::rope(&own, &cos, &sin).expect("turned") } else { own };
        let expected = values(own.transpose(1, 2).and_then(|t| t.contiguous()));
        assert_close(&bench.read_bf16(got, rows * heads * width), &expected, BF16, "a part");
    }
}

#[test]
fn the_merger_bends_and_puts_rows_back() {
    let Some(bench) = Bench::new(VISION) else { return };
    let (rows, width) = (3, 300);
    let (x, bias) = (numbers(rows * width, 1), numbers(width, 2));
    let x: Vec<f32> = x.into_iter().map(|x| 4.0 * x).collect();
    let (on_gpu, added) = (bench.f32(&x), bench.f32(&bias));
    let sums: Vec<f32> = x.iter().zip(bias.iter().cycle()).map(|(x, b)| x + b).collect();
    let bent = bench.room(2 * rows * width);
    bench.kernels().gelu(on_gpu.address(), added.address(), bent.address(), [rows, width]).expect("a launch");
    let expected = values(ops::gelu_erf(&tensor(&sums, [rows, width])));
    assert_close(&bench.read_bf16(&bent, rows * width), &expected, BF16, "gelu");

    let (order, out) = (bench.i32(&[2, 0, 1]), bench.room(4 * rows * width));
    let at = [&on_gpu, &added, &order, &out].map(Memory::address);
    bench.kernels().place_rows(at[0], at[1], at[2], at[3], [rows, width]).expect("a launch");
    let row = |at: usize| &sums[at * width..(at + 1) * width];
    assert_eq!(bench.read_f32(out.address(), rows * width), [row(2), row(0), row(1)].concat());
}

#[test]
fn the_best_score_is_the_first_of_the_greatest_and_must_be_finite() {
    let Some(bench) = Bench::new(NARROW) else { return };
    let vocab = 9000;
    let mut scores = numbers(6 * vocab, 1);
    let at = |row: usize, id: usize| row * vocab + id;
    // Equals in one part and in two, at the very end, and what is not finite.
    for (row, id) in [(0, 77), (0, 78), (0, 8500), (1, 8999), (2, 5000), (3, 300), (4, 8999), (5, 0)] {
        scores[at(row, id)] = 3.0;
    }
    scores[at(2, 4999)] = f32::NAN;
    scores[at(3, 301)] = f32::NEG_INFINITY;
    scores[at(4, 0)] = f32::INFINITY;
    let (on_gpu, ids) = (bench.f32(&scores), bench.room(4 * 6));
    let space = bench.room(6 * 2 * BEST_PARTS * 4);
    bench.kernels().best(on_gpu.address(), space.address(), ids.address(), [6, vocab]).expect("a launch");
    assert_eq!(bench.read_i32(&ids, 6), [77, 8999, -1, -1, -1, 0]);
}
