//! The product with the byte products of AVX-512.

use std::arch::x86_64::*;

use half::f16;

use super::super::rows::prefetch;
use super::{GROUP, Row};

/// Groups whose scales fill a register.
const SCALES: usize = 16;
/// Numbers that fill a register: two groups.
const NUMBERS: usize = 2 * GROUP;
/// Bytes from a product to what it asks memory for: two pages.
const AHEAD: usize = 8192;

/// Scales `[groups]` and numbers `[groups * GROUP]` of a row of weights with a row of x as long.
pub(super) fn dot(scales: &[f16], numbers: &[i8], x: &Row) -> f32 {
    let groups = scales.len();
    assert!(numbers.len() == groups * GROUP && x.numbers.len() == numbers.len());
    assert!(x.scales.len() == groups && x.sums.len() == groups);
    // SAFETY: the caller asked `has_byte_products`; all slices hold the same number of groups, as was just checked, and
    // `sum` reads nothing beyond them.
    #[allow(unsafe_code)]
    unsafe {
        sum(scales, numbers, x)
    }
}

#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sum(scales: &[f16], numbers: &[i8], x: &Row) -> f32 {
    let groups = scales.len();
    let mut total = _mm512_setzero_ps();
    // Lanes 0..8 belong to a register's first group, 8..16 to its second.
    let halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let (two, sign) = (_mm512_set1_epi32(2), _mm512_set1_epi8(i8::MIN));
    for first in (0..groups).step_by(SCALES) {
        let count = SCALES.min(groups - first);
        let mask = u16::MAX >> (SCALES - count);
        // SAFETY: masked loads read `count` groups from `first` on; numbers are read up to the last group.
        let (w_scales, x_scales, sums) = unsafe {
            (
                _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, scales.as_ptr().add(first).cast())),
                _mm512_maskz_loadu_ps(mask, x.scales.as_ptr().add(first)),
                _mm512_maskz_loadu_epi32(mask, x.sums.as_ptr().add(first)),
            )
        };
        let scale = _mm512_mul_ps(w_scales, x_scales);
        // Bytes of w are read as w + 128: 128 times the sum of x comes off, an eighth of it in each lane.
        let excess = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32::<4>(sums));
        let mut lanes = halves;
        for group in (first..first + count).step_by(2) {
            let at = group * GROUP;
            prefetch(numbers.as_ptr().wrapping_add(at + AHEAD));
            let (w, x) = unsafe {
                let (w, x) = (numbers.as_ptr().add(at), x.numbers.as_ptr().add(at));
                if group + 1 < groups {
                    (_mm512_loadu_si512(w.cast()), _mm512_loadu_si512(x.cast()))
                } else {
                    let mask = u64::MAX >> (NUMBERS - GROUP);
                    (_mm512_maskz_loadu_epi8(mask, w), _mm512_maskz_loadu_epi8(mask, x))
                }
            };
            let sum =
                _mm512_dpbusd_epi32(_mm512_permutexvar_epi32(lanes, excess), _mm512_xor_si512(w, sign), x);
            total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_permutexvar_ps(lanes, scale), total);
            lanes = _mm512_add_epi32(lanes, two);
        }
    }
    _mm512_reduce_add_ps(total)
}
