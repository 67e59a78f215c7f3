//! Steps, scales and mins of a block.

use half::f16;

use super::GROUPS;

/// Bits of a field.
const BITS: usize = 6;
/// The greatest field.
const MOST: f32 = 63.0;

/// A block's steps, and of each group the scale and the min in steps.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Head {
    pub(super) step: f16,
    pub(super) min_step: f16,
    /// Fields of six bits, the lowest bits of the first byte first: a scale of each group, then a min of each.
    pub(super) fields: [u8; 12],
}

impl Head {
    pub(super) const ZERO: Self = Self { step: f16::ZERO, min_step: f16::ZERO, fields: [0; 12] };
    /// Bytes of a head in files.
    pub(super) const FILE_BYTES: usize = 16;

    /// The head whose steps are as small as the greatest scale and the greatest min allow.
    pub(super) fn around(scales: [f32; GROUPS], mins: [f32; GROUPS]) -> Self {
        let (step, scales) = in_steps(scales);
        let (min_step, mins) = in_steps(mins);
        Self { step, min_step, fields: packed(scales, mins) }
    }

    /// Reads the start of a block in a file: the steps, then 4 bytes with the low six bits of a scale each, 4 with
    /// those of a min each, 4 with the low four bits of the later groups' scale and min each; the two bits left in
    /// each of the first 8 bytes are the highest ones of the later groups' scales, and then of their mins.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (scales, mins, later) = (&bytes[4..8], &bytes[8..12], &bytes[12..16]);
        let field = |first: &[u8], group: usize, low: u8| match group.checked_sub(GROUPS / 2) {
            None => first[group] & 63,
            Some(group) => low | first[group] >> 6 << 4,
        };
        let low = |group: usize| later[group % (GROUPS / 2)];
        Self {
            step: half(0),
            min_step: half(2),
            fields: packed(
                std::array::from_fn(|group| field(scales, group, low(group) & 0xf)),
                std::array::from_fn(|group| field(mins, group, low(group) >> 4)),
            ),
        }
    }

    /// The scale and the min of a group.
    pub(super) fn group(&self, group: usize) -> (f32, f32) {
        let (scale, min) = (self.field(group), self.field(GROUPS + group));
        (self.step.to_f32() * f32::from(scale), self.min_step.to_f32() * f32::from(min))
    }

    fn field(&self, field: usize) -> u8 {
        let (byte, shift) = (field * BITS / 8, field * BITS % 8);
        let next = self.fields.get(byte + 1).copied().unwrap_or(0);
        (u16::from_le_bytes([self.fields[byte], next]) >> shift) as u8 & 63
    }
}

/// A step for values that are not negative, and the values in steps.
fn in_steps(values: [f32; GROUPS]) -> (f16, [u8; GROUPS]) {
    let greatest = values.into_iter().fold(0.0, f32::max);
    let inverse = if greatest > 0.0 { MOST / greatest } else { 0.0 };
    let fields = values.map(|value| (value * inverse).round_ties_even().clamp(0.0, MOST) as u8);
    (f16::from_f32(greatest / MOST), fields)
}

fn packed(scales: [u8; GROUPS], mins: [u8; GROUPS]) -> [u8; 12] {
    let mut bits = 0u128;
    for (at, field) in scales.into_iter().chain(mins).enumerate() {
        bits |= u128::from(field) << (at * BITS);
    }
    std::array::from_fn(|byte| bits.to_le_bytes()[byte])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_put_in() {
        let scales = [0, 1, 63, 32, 17, 5, 40, 62];
        let mins = [63, 0, 2, 33, 18, 6, 41, 61];
        let head = Head { step: f16::ONE, min_step: f16::ONE, fields: packed(scales, mins) };
        for group in 0..GROUPS {
            assert_eq!(head.group(group), (f32::from(scales[group]), f32::from(mins[group])));
        }
    }
}
