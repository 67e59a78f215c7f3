//! The product with AVX2, which has no products of bytes with a sign: that of w goes over to x first.

use std::arch::x86_64::*;

use half::f16;

use super::super::rows::prefetch;
use super::{GROUP, Row};

/// Groups whose scales fill a register.
const SCALES: usize = 8;
/// Bytes from a product to what it asks memory for: two pages.
const AHEAD: usize = 8192;

/// Scales `[groups]` and numbers `[groups * GROUP]` of a row of weights with a row of x as long.
pub(super) fn dot(scales: &[f16], numbers: &[i8], x: &Row) -> f32 {
    let groups = scales.len();
    assert!(numbers.len() == groups * GROUP && x.numbers.len() == numbers.len() && x.scales.len() == groups);
    // SAFETY: the caller asked `has_avx2`; all slices hold the same number of groups, as was just checked, and `sum`
    // reads nothing beyond them.
    #[allow(unsafe_code)]
    unsafe {
        sum(scales, numbers, x)
    }
}

#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum(scales: &[f16], numbers: &[i8], x: &Row) -> f32 {
    let mut totals = [_mm256_setzero_ps(); 2];
    let whole = scales.len() - scales.len() % SCALES;
    for first in (0..whole).step_by(SCALES) {
        // SAFETY: eight groups from `first` on are there.
        let scale = unsafe {
            let w = _mm256_cvtph_ps(_mm_loadu_si128(scales.as_ptr().add(first).cast()));
            _mm256_mul_ps(w, _mm256_loadu_ps(x.scales.as_ptr().add(first)))
        };
        for nth in 0..SCALES {
            let at = (first + nth) * GROUP;
            if nth.is_multiple_of(2) {
                prefetch(numbers.as_ptr().wrapping_add(at + AHEAD));
            }
            // SAFETY: as above.
            let product = unsafe { group(numbers.as_ptr().add(at), x.numbers.as_ptr().add(at)) };
            let scale = _mm256_permutevar8x32_ps(scale, _mm256_set1_epi32(nth as i32));
            totals[nth % 2] = _mm256_fmadd_ps(product, scale, totals[nth % 2]);
        }
    }
    for (nth, (w_scale, x_scale)) in scales.iter().zip(&x.scales).enumerate().skip(whole) {
        let at = nth * GROUP;
        // SAFETY: the last groups are there.
        let product = unsafe { group(numbers.as_ptr().add(at), x.numbers.as_ptr().add(at)) };
        let scale = _mm256_set1_ps(w_scale.to_f32() * x_scale);
        totals[0] = _mm256_fmadd_ps(product, scale, totals[0]);
    }
    added(_mm256_add_ps(totals[0], totals[1]))
}

/// The product of a group with one of x, in eight parts.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn group(w: *const i8, x: *const i8) -> __m256 {
    // SAFETY: the caller has a group of each.
    let (w, x) = unsafe { (_mm256_loadu_si256(w.cast()), _mm256_loadu_si256(x.cast())) };
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
