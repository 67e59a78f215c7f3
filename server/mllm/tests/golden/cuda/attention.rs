//! The kernels of attention against its definition.

use loupe_mllm::cuda::gpu::{Gpu, Memory};
use loupe_mllm::cuda::kernels::{Attend, Heads, Kernels, Split, TILE};
use loupe_mllm::lm::BLOCK;
use loupe_mllm::ops::{self, AttentionMask};

use super::bench::{
    BF16, Bench, NARROW, Tensor, VISION, WIDE, assert_close, numbers, on_each_gpu, tensor, values,
};

on_each_gpu!(
    single_tokens_attend_over_parts_of_their_keys,
    prompts_attend_to_what_is_before_them,
    patches_attend_within_their_windows,
);

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

fn single_tokens_attend_over_parts_of_their_keys<G: Gpu>(open: impl Fn() -> G) {
    for heads in [NARROW, WIDE] {
        let bench = Bench::new(open(), heads);
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
        let space = bench.room(Kernels::<G>::few_space(&heads, split, rows.len()));
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

fn prompts_attend_to_what_is_before_them<G: Gpu>(open: impl Fn() -> G) {
    for heads in [NARROW, WIDE] {
        let bench = Bench::new(open(), heads);
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

fn patches_attend_within_their_windows<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), VISION);
    let Heads { kv_heads: heads, width, .. } = VISION;
    let ends = [0usize, 64, 80, 150];
    let rows = 150;
    let tiles = [[0, 64, 0, 64], [64, 16, 64, 16], [80, TILE as i32, 80, 70], [144, 6, 80, 70]];
    let parts: Vec<Vec<f32>> = (1..4).map(|seed| numbers(rows * heads * width, seed)).collect();
    let given: Vec<G::Memory> = parts.iter().map(|part| bench.bf16(part)).collect();
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
