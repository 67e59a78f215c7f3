//! The product with the byte products of AVX-512.

use std::arch::x86_64::*;

use super::{GROUP, GROUPS, PIECE, QUAD, Quad, Row};

/// Sums of products of four rows of weights with a row of x as long.
pub(super) fn sums(quad: Quad, x: &Row) -> [f32; QUAD] {
    assert!(quad.fits(x));
    // SAFETY: the caller asked `has_byte_products`, and x is as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(quad, x)
    }
}

// No closures over registers below: those are compiled without the features, and registers would go through memory.

#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sum(quad: Quad, x: &Row) -> [f32; QUAD] {
    const PIECES: usize = GROUPS * GROUP / PIECE;
    let mut totals = [_mm512_setzero_ps(); QUAD];
    // Lanes 0..8 belong to a piece's first group, 8..16 to its second.
    let halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let (two, sign) = (_mm512_set1_epi32(2), _mm512_set1_epi8(i8::MIN));
    for (nth, numbers) in quad.numbers.chunks(PIECES).enumerate() {
        let mut scales = [_mm512_setzero_ps(); QUAD];
        // SAFETY: x has as many groups of scales and of sums; a register holds exactly one.
        let excess = unsafe {
            let x_scales = _mm512_loadu_ps(x.scales[nth].as_ptr());
            for row in 0..QUAD {
                let w = _mm512_cvtph_ps(_mm256_loadu_si256(quad.scales[nth][row].as_ptr().cast()));
                scales[row] = _mm512_mul_ps(w, x_scales);
            }
            // Bytes of w are read as w + 128: 128 times the sum of x comes off, an eighth of it in each lane.
            _mm512_slli_epi32::<4>(_mm512_loadu_si512(x.sums[nth].as_ptr().cast()))
        };
        let excess = _mm512_sub_epi32(_mm512_setzero_si512(), excess);
        let mut lanes = halves;
        for (numbers, x) in numbers.iter().zip(&x.numbers[nth * PIECES..]) {
            // SAFETY: a piece is exactly a register.
            let x = unsafe { _mm512_load_si512(x.0.as_ptr().cast()) };
            let excess = _mm512_permutexvar_epi32(lanes, excess);
            for row in 0..QUAD {
                // SAFETY: as above.
                let w = unsafe { _mm512_load_si512(numbers[row].0.as_ptr().cast()) };
                let sum = _mm512_dpbusd_epi32(excess, _mm512_xor_si512(w, sign), x);
                let scale = _mm512_permutexvar_ps(lanes, scales[row]);
                totals[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, totals[row]);
            }
            lanes = _mm512_add_epi32(lanes, two);
        }
    }
    let mut sums = [0.0; QUAD];
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = _mm512_reduce_add_ps(total);
    }
    sums
}
