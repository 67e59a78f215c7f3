//! Each kernel but those of attention and choice against the arithmetic that it stands for.

use loupe_mllm::cuda::gpu::{Address, Gemm, Gpu, Into, Memory, Operand, Product};
use loupe_mllm::cuda::kernels::{FEW, Heads, Norm, Turn};
use loupe_mllm::lm::BLOCK;
use loupe_mllm::ops;

use super::bench::{
    BF16, Bench, EPS, NARROW, SUMS, Tensor, VISION, assert_close, numbers, on_each_gpu, tensor, values,
};

on_each_gpu!(
    embeddings_come_from_the_table_or_are_given,
    norms_add_a_bias_and_take_rows_in_any_order,
    few_rows_times_weights_are_set_added_or_gated,
    gates_of_many_rows_with_a_bias_and_without,
    queries_and_keys_turn_and_find_their_place_in_the_pool,
    the_tower_parts_and_turns_its_queries_and_keys,
    the_merger_bends_and_puts_rows_back,
    matrices_are_multiplied_in_any_layout,
);

fn embeddings_come_from_the_table_or_are_given<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let (width, table, given) = (24, numbers(5 * 24, 1), numbers(2 * 24, 2));
    let x = bench.room(4 * 4 * width);
    let (ids, on_gpu, extra) = (bench.i32(&[4, -2, 0, -1]), bench.bf16(&table), bench.f32(&given));
    let at = [&ids, &on_gpu, &extra, &x].map(Memory::address);
    bench.kernels().embed(at[0], at[1], at[2], at[3], [4, width]).expect("a launch");
    let expected = [&table[4 * width..], &given[width..], &table[..width], &given[..width]].concat();
    assert_eq!(bench.read_f32(x.address(), 4 * width), expected);
}

fn norms_add_a_bias_and_take_rows_in_any_order<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
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

fn few_rows_times_weights_are_set_added_or_gated<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
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

fn gates_of_many_rows_with_a_bias_and_without<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
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

fn queries_and_keys_turn_and_find_their_place_in_the_pool<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
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

fn the_tower_parts_and_turns_its_queries_and_keys<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), VISION);
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

fn the_merger_bends_and_puts_rows_back<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), VISION);
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

fn matrices_are_multiplied_in_any_layout<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let (m, k, n, batch, spare) = (5, 7, 3, 2, 4);
    let shape =
        |turned: bool, [rows, columns]: [usize; 2]| if turned { [columns, rows] } else { [rows, columns] };
    for (turned_a, turned_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let operand = |turned, size, seed| {
            let [rows, columns] = shape(turned, size);
            // Rows lie further apart than they are wide, matrices further than they are large.
            let (stride, apart) = (columns + spare, rows * (columns + spare) + spare);
            let values = numbers(batch * apart, seed);
            let all = tensor(&values, [batch, apart]).narrow(1, 0, rows * stride).expect("rows");
            let matrix =
                all.contiguous().and_then(|all| all.reshape((batch, rows, stride))?.narrow(2, 0, columns));
            let matrix = matrix.and_then(|matrix| if turned { matrix.transpose(1, 2) } else { Ok(matrix) });
            let memory = bench.bf16(&values);
            let operand = Operand { turned, ..Operand::new(memory.address(), stride).apart(apart) };
            (memory, operand, matrix.and_then(|matrix| matrix.contiguous()).expect("matrices"))
        };
        let (_a, a, by) = operand(turned_a, [m, k], 1);
        let (_b, b, to) = operand(turned_b, [k, n], 2);
        let (stride, apart) = (n + 1, m * (n + 1) + 2);
        let before = numbers(batch * apart, 3);
        let product = (by.matmul(&to).expect("products") * 0.5).expect("products");
        for into in [Into::Set, Into::Add, Into::SetBf16] {
            let wide = bench.f32(&before);
            let narrow = bench.bf16(&before);
            let to = if into == Into::SetBf16 { &narrow } else { &wide };
            let out = Operand::new(to.address(), stride).apart(apart);
            let gemm = Gemm { a, b, out, sizes: [m, k, n], batch, scale: 0.5, into };
            bench.gpu.gemm(&gemm).expect("a product");
            let got = match into {
                Into::SetBf16 => bench.read_bf16(to, before.len()),
                _ => bench.read_f32(to.address(), before.len()),
            };
            let mut expected = before.clone();
            for (nth, product) in values(Ok(product.clone())).chunks(m * n).enumerate() {
                for (at, value) in product.iter().enumerate() {
                    let place = &mut expected[nth * apart + at / n * stride + at % n];
                    *place = if into == Into::Add { *place + value } else { *value };
                }
            }
            assert_close(&got, &expected, if into == Into::SetBf16 { BF16 } else { SUMS }, "a product");
        }
    }
}
