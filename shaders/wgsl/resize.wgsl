// Crop and bicubic resize with the bytes of `loupe_shared::pixels`: two passes in i32, each rounded to 8 bits.
// No floats: integer arithmetic is exactly specified, so every GPU has the same answer.

// Fraction bits of a weight, and half of the last bit that is kept.
const PRECISION_BITS: u32 = 22u;
const HALF: i32 = 1 << 21u;

// A pass along the rows or down the columns, or a band of rows of one. Distances are bytes for `from_bytes` and pixels
// for `from_words`.
struct Pass {
    // Length of the result's rows, and how many of them this dispatch writes, beginning with which.
    width: u32,
    height: u32,
    first_row: u32,
    // 1 if the weights run down the columns, 0 if along the rows.
    down: u32,
    // Weights kept per target pixel.
    stride: u32,
    // From one sample under the weights to the next, and from one line of such samples to the next.
    step: u32,
    line: u32,
    // Where in the picture the bound source begins.
    skip: u32,
}

@group(0) @binding(0) var<uniform> work: Pass;
// `from_bytes`: bytes R G B R G B …, four to a word. `from_words`: one pixel to a word, red in the lowest byte.
@group(0) @binding(1) var<storage, read> source: array<u32>;
// Per target pixel of the axis: first source pixel and how many.
@group(0) @binding(2) var<storage, read> bounds: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> weights: array<i32>;
// One pixel to a word, red in the lowest byte.
@group(0) @binding(4) var<storage, read_write> result: array<u32>;

// What one target pixel sums: where its first sample and its first weight are, and how many there are.
struct Taps {
    sample: u32,
    weight: u32,
    count: u32,
}

fn taps_of(x: u32, y: u32) -> Taps {
    let is_down = work.down == 1u;
    let along = select(x, y, is_down);
    let across = select(y, x, is_down);
    let span = bounds[along];
    return Taps(across * work.line + span.x * work.step - work.skip, along * work.stride, span.y);
}

fn unpack(pixel: u32) -> vec3<i32> {
    return vec3<i32>((vec3<u32>(pixel) >> vec3<u32>(0u, 8u, 16u)) & vec3<u32>(255u));
}

// Drops the fraction, clamps, packs.
fn pack(sum: vec3<i32>) -> u32 {
    let bytes = vec3<u32>(clamp(sum >> vec3<u32>(PRECISION_BITS), vec3<i32>(0), vec3<i32>(255)));
    return bytes.r | (bytes.g << 8u) | (bytes.b << 16u);
}

// The three bytes from `at`, which may lie across two words. Within one word `high` repeats `low`, and what that
// puts into the top byte is dropped by `unpack`.
fn pixel_at(at: u32) -> u32 {
    let shift = (at & 3u) * 8u;
    let low = source[at >> 2u];
    let high = source[(at + 2u) >> 2u];
    return (low >> shift) | (high << ((32u - shift) & 31u));
}

@compute @workgroup_size(8, 8)
fn from_bytes(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= work.width || id.y >= work.height) {
        return;
    }
    let y = work.first_row + id.y;
    let taps = taps_of(id.x, y);
    var sum = vec3<i32>(HALF);
    for (var i = 0u; i < taps.count; i++) {
        sum += unpack(pixel_at(taps.sample + i * work.step)) * weights[taps.weight + i];
    }
    result[y * work.width + id.x] = pack(sum);
}

@compute @workgroup_size(8, 8)
fn from_words(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= work.width || id.y >= work.height) {
        return;
    }
    let y = work.first_row + id.y;
    let taps = taps_of(id.x, y);
    var sum = vec3<i32>(HALF);
    for (var i = 0u; i < taps.count; i++) {
        sum += unpack(source[taps.sample + i * work.step]) * weights[taps.weight + i];
    }
    result[y * work.width + id.x] = pack(sum);
}
