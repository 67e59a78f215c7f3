//! The product with the byte products of AVX-512.

use std::arch::x86_64::*;

use super::super::rows::ask_ahead;
use super::{GROUP, GROUPS, PIECE, QUAD, Quad, Row};

/// See [`Quad::sums`].
pub(super) fn sums<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
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
unsafe fn sum<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    const PIECES: usize = GROUPS * GROUP / PIECE;
    let mut totals = [[_mm512_setzero_ps(); M]; QUAD];
    // Lanes 0..8 belong to a piece's first group, 8..16 to its second.
    let halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let (two, sign) = (_mm512_set1_epi32(2), _mm512_set1_epi8(i8::MIN));
    for (nth, numbers) in quad.numbers.chunks(PIECES).enumerate() {
        let mut scales = [[_mm512_setzero_ps(); M]; QUAD];
        let mut excess = [_mm512_setzero_si512(); M];
        for of_x in 0..M {
            // SAFETY: x has as many groups of scales and of sums; a register holds exactly one.
            let (of_scales, of_sums) = unsafe {
                let (scales, sums) = (&x[of_x].scales[nth], &x[of_x].sums[nth]);
                (_mm512_loadu_ps(scales.as_ptr()), _mm512_loadu_si512(sums.as_ptr().cast()))
            };
            for (scales, w) in scales.iter_mut().zip(&quad.scales[nth]) {
                // SAFETY: half a register holds exactly a group of scales.
                let w = unsafe { _mm256_loadu_si256(w.as_ptr().cast()) };
                scales[of_x] = _mm512_mul_ps(_mm512_cvtph_ps(w), of_scales);
            }
            // Bytes of w are read as w + 128: 128 times the sum of x comes off, an eighth of it in each lane.
            excess[of_x] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32::<4>(of_sums));
        }
        let mut lanes = halves;
        for (piece, numbers) in numbers.iter().enumerate() {
            let mut pieces = [(_mm512_setzero_si512(), _mm512_setzero_si512()); M];
            for of_x in 0..M {
                // SAFETY: a piece is exactly a register.
                let piece =
                    unsafe { _mm512_load_si512(x[of_x].numbers[nth * PIECES + piece].0.as_ptr().cast()) };
                pieces[of_x] = (piece, _mm512_permutexvar_epi32(lanes, excess[of_x]));
            }
            for row in 0..QUAD {
                let numbers = &numbers[row];
                if M > 1 {
                    ask_ahead(numbers);
                }
                // SAFETY: as above.
                let w = unsafe { _mm512_load_si512(numbers.0.as_ptr().cast()) };
                let w = _mm512_xor_si512(w, sign);
                for of_x in 0..M {
                    let (piece, excess) = pieces[of_x];
                    let sum = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(excess, w, piece));
                    let scale = _mm512_permutexvar_ps(lanes, scales[row][of_x]);
                    totals[row][of_x] = _mm512_fmadd_ps(sum, scale, totals[row][of_x]);
                }
            }
            lanes = _mm512_add_epi32(lanes, two);
        }
    }
    let mut sums = [[0.0; M]; QUAD];
    for (sum, total) in sums.as_flattened_mut().iter_mut().zip(totals.as_flattened()) {
        *sum = _mm512_reduce_add_ps(*total);
    }
    sums
}
