//! Sums of products with rows of bf16 on AVX2, whose registers the compiler does not fill by itself.

use std::arch::x86_64::*;

use half::bf16;

use super::super::q8::added;
use super::{LINE, has_avx2, prefetch};

/// Numbers of a register.
const LANES: usize = 8;

/// Sums of products of the first `whole` numbers, which are lines, of rows with rows of x that are as long.
pub(super) fn lines<const N: usize, const M: usize>(
    rows: [&[bf16]; N],
    x: [&[f32]; M],
    whole: usize,
) -> [[f32; M]; N] {
    assert!(has_avx2() && whole.is_multiple_of(LINE));
    assert!(rows.iter().all(|row| row.len() >= whole) && x.iter().all(|x| x.len() >= whole));
    // SAFETY: the processor has what the function asks for, and all rows are as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(rows, x, whole)
    }
}

/// See [`lines`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum<const N: usize, const M: usize>(
    rows: [&[bf16]; N],
    x: [&[f32]; M],
    whole: usize,
) -> [[f32; M]; N] {
    let mut totals = [[[_mm256_setzero_ps(); 2]; M]; N];
    for at in (0..whole).step_by(LINE) {
        for nth in 0..N {
            let row = rows[nth];
            // What comes after these rows.
            prefetch(row.as_ptr().wrapping_add(at + N * row.len()));
            for part in 0..4 {
                let at = at + part * LANES;
                // SAFETY: as many numbers are there, of every row.
                unsafe {
                    let narrow = _mm_loadu_si128(row.as_ptr().add(at).cast());
                    // A bf16 is the upper half of an f32.
                    let wide = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(narrow)));
                    for (total, x) in totals[nth].iter_mut().zip(&x) {
                        let total = &mut total[part % 2];
                        *total = _mm256_fmadd_ps(wide, _mm256_loadu_ps(x.as_ptr().add(at)), *total);
                    }
                }
            }
        }
    }
    let mut sums = [[0.0; M]; N];
    for (sums, totals) in sums.iter_mut().zip(&totals) {
        for (sum, [first, second]) in sums.iter_mut().zip(totals) {
            *sum = added(_mm256_add_ps(*first, *second));
        }
    }
    sums
}
