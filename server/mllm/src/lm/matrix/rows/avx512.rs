//! Sums of products with rows of bf16 on AVX-512.

use std::arch::x86_64::*;

use half::bf16;

use super::{LINE, has_avx512, prefetch};

/// Numbers of a register.
pub(in super::super) const LANES: usize = 16;

/// Sums of products of the first `whole` numbers, which are lines, of rows with rows of x that are as long.
pub(super) fn lines<const N: usize, const M: usize>(
    rows: [&[bf16]; N],
    x: [&[f32]; M],
    whole: usize,
) -> [[f32; M]; N] {
    assert!(has_avx512() && whole.is_multiple_of(LINE));
    assert!(rows.iter().all(|row| row.len() >= whole) && x.iter().all(|x| x.len() >= whole));
    // SAFETY: the processor has what the function asks for, and all rows are as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(rows, x, whole)
    }
}

/// See [`lines`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sum<const N: usize, const M: usize>(
    rows: [&[bf16]; N],
    x: [&[f32]; M],
    whole: usize,
) -> [[f32; M]; N] {
    let mut totals = [[_mm512_setzero_ps(); M]; N];
    for at in (0..whole).step_by(LINE) {
        let mut of_x = [[_mm512_setzero_ps(); 2]; M];
        for (of_x, x) in of_x.iter_mut().zip(&x) {
            for (lane, of_x) in of_x.iter_mut().enumerate() {
                // SAFETY: as many numbers are there, of every row of x.
                *of_x = unsafe { _mm512_loadu_ps(x.as_ptr().add(at + lane * LANES)) };
            }
        }
        for nth in 0..N {
            let row = rows[nth];
            // What comes after these rows.
            prefetch(row.as_ptr().wrapping_add(at + N * row.len()));
            for lane in 0..2 {
                let at = at + lane * LANES;
                // SAFETY: as many numbers are there, of every row.
                unsafe {
                    let narrow = _mm256_loadu_si256(row.as_ptr().add(at).cast());
                    // A bf16 is the upper half of an f32.
                    let wide = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(narrow)));
                    for (total, of_x) in totals[nth].iter_mut().zip(&of_x) {
                        *total = _mm512_fmadd_ps(wide, of_x[lane], *total);
                    }
                }
            }
        }
    }
    let mut sums = [[0.0; M]; N];
    for (sums, totals) in sums.iter_mut().zip(&totals) {
        for (sum, total) in sums.iter_mut().zip(totals) {
            *sum = _mm512_reduce_add_ps(*total);
        }
    }
    sums
}
