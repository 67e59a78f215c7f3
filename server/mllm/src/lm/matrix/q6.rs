//! Q6_K of ggml, which files that are Q4_K for the most part use for some matrices. It is only read: what is kept is
//! rounded to eight bits. A block of 256 numbers holds sixteen groups of 16 that share a scale of eight bits, in steps
//! of an f16; a number is kept as its distance from -32 in six bits.

use half::f16;

/// Numbers that share a step.
pub(super) const BLOCK: usize = 256;
/// Bytes of a block in files.
pub(super) const BLOCK_BYTES: usize = 210;
/// Numbers that share a scale.
const GROUP: usize = 16;
/// Numbers whose bits lie together.
const HALF: usize = 128;

/// The values of blocks as files hold them, [`BLOCK_BYTES`] each.
pub(super) fn widened(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<BLOCK_BYTES>().0.iter().flat_map(values).collect()
}

fn values(block: &[u8; BLOCK_BYTES]) -> [f32; BLOCK] {
    let (low, rest) = block.split_at(BLOCK / 2);
    let (high, rest) = rest.split_at(BLOCK / 4);
    let (scales, step) = rest.split_at(BLOCK / GROUP);
    let step = f16::from_le_bytes([step[0], step[1]]).to_f32();
    std::array::from_fn(|number| {
        // Of 128 numbers, the first 64 have their low four bits in the low halves of 64 bytes and the others in the
        // high halves; every 32 have their high two bits in the next two bits of 32 bytes.
        let (half, within) = (number / HALF, number % HALF);
        let low = low[half * 64 + within % 64] >> (within / 64 * 4) & 0xf;
        let high = high[half * 32 + within % 32] >> (within / 32 * 2) & 3;
        let scale = step * f32::from(scales[number / GROUP].cast_signed());
        scale * (f32::from(low | high << 4) - 32.0)
    })
}
