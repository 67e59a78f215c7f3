//! The exponential, written so that the compiler turns it into vector instructions.

/// `e^x` within 2 units in the last place over the normal range; 0 below it, infinity above.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, a polynomial for `e^r` (Cephes `expf`) and `2^n` put into the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54;
    const HIGHEST: f32 = 88.722_84;
    // ln 2 in two parts, so that `n` times the first is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;

    let clamped = x.clamp(LOWEST, HIGHEST);
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // The same as an integer: it lies in the last bits. A conversion would check for what cannot come, one at a time.
    let exponent = rounded.to_bits() as i32 - ROUND.to_bits() as i32;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clamped));
    let mut p = 1.987_569_1e-4f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let p = p.mul_add(r * r, r) + 1.0;
    // 2^n in two factors: n reaches 128, which has no exponent of its own.
    let half = exponent >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    let result = p * power(half) * power(exponent - half);
    if x < LOWEST { 0.0 } else { result }
}

/// Replaces each value by `e^(value - shift)`; gives the sum.
pub(super) fn exp_in_place(values: &mut [f32], shift: f32) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let mut chunks = values.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (value, sum) in chunk.iter_mut().zip(&mut sums) {
            *value = exp(*value - shift);
            *sum += *value;
        }
    }
    let mut total: f32 = sums.iter().sum();
    for value in chunks.into_remainder() {
        *value = exp(*value - shift);
        total += *value;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_libm_over_the_whole_range() {
        for step in -87_300..88_700 {
            let x = step as f32 * 1e-3;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - expected).abs() <= expected * 2.4e-7, "{x}: {got} {expected}");
        }
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn sums_take_every_value() {
        let mut values: Vec<f32> = (0..37).map(|i| i as f32 * 0.1).collect();
        let expected: f32 = values.iter().map(|x| (x - 1.0).exp()).sum();
        assert!((exp_in_place(&mut values, 1.0) - expected).abs() < 1e-4);
        assert!((values[36] - 2.6f32.exp()).abs() < 1e-5);
    }
}
