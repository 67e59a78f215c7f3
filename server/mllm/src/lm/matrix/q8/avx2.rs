//! The product with AVX2, which has no products of bytes with a sign: that of w goes over to x first.

use std::arch::x86_64::*;

use super::super::rows::ask_ahead;
use super::{GROUP, GROUPS, PIECE, QUAD, Quad, Row};

/// Groups whose scales fill a register.
const SCALES: usize = 8;

/// See [`Quad::sums`].
pub(super) fn sums<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    assert!(quad.fits(x));
    // SAFETY: the caller asked `has_avx2`, and x is as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(quad, x)
    }
}

#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    const PIECES: usize = SCALES * GROUP / PIECE;
    let mut totals = [[_mm256_setzero_ps(); M]; QUAD];
    for (nth, numbers) in quad.numbers.chunks(PIECES).enumerate() {
        let (first, part) = (nth * SCALES / GROUPS, nth * SCALES % GROUPS);
        let mut scales = [[_mm256_setzero_ps(); M]; QUAD];
        for (scales, w) in scales.iter_mut().zip(&quad.scales[first]) {
            for (scale, x) in scales.iter_mut().zip(x) {
                // SAFETY: a register's scales from `part` on lie within a group of them.
                *scale = unsafe {
                    let w = _mm_loadu_si128(w.as_ptr().add(part).cast());
                    let x = _mm256_loadu_ps(x.scales[first].as_ptr().add(part));
                    _mm256_mul_ps(_mm256_cvtph_ps(w), x)
                };
            }
        }
        for (piece, numbers) in numbers.iter().enumerate() {
            for row in 0..QUAD {
                let numbers = &numbers[row];
                if M > 1 {
                    ask_ahead(numbers);
                }
                for (half, w) in numbers.groups().iter().enumerate() {
                    let place = _mm256_set1_epi32((piece * PIECE / GROUP + half) as i32);
                    for of_x in 0..M {
                        let x = &x[of_x].numbers[nth * PIECES + piece].groups()[half];
                        let scale = _mm256_permutevar8x32_ps(scales[row][of_x], place);
                        totals[row][of_x] = _mm256_fmadd_ps(group(w, x), scale, totals[row][of_x]);
                    }
                }
            }
        }
    }
    let mut sums = [[0.0; M]; QUAD];
    for (sum, total) in sums.as_flattened_mut().iter_mut().zip(totals.as_flattened()) {
        *sum = added(*total);
    }
    sums
}

/// The product of a group with one of x, in eight parts.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn group(w: &[i8; GROUP], x: &[i8; GROUP]) -> __m256 {
    // SAFETY: a group is exactly a register.
    #[allow(unsafe_code)]
    let (w, x) = unsafe { (_mm256_loadu_si256(w.as_ptr().cast()), _mm256_loadu_si256(x.as_ptr().cast())) };
    // Two products of at most 128 times 127 fit into 16 bits.
    let pairs = _mm256_maddubs_epi16(_mm256_sign_epi8(w, w), _mm256_sign_epi8(x, w));
    _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// The sum of a register.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) fn added(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
