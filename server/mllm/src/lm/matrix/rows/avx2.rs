//! Sums of products with rows of bf16 on AVX2, whose registers the compiler does not fill by itself.

use std::arch::x86_64::*;

use half::bf16;

use super::super::q8::added;
use super::{prefetch, widen};

/// Numbers of a register.
const LANES: usize = 8;
/// Numbers of a row that are read in one go: a line of memory.
const LINE: usize = 4 * LANES;

/// Sums of products of rows as long as x with x; each is what it would be alone.
pub(super) fn sums<const N: usize>(rows: [&[bf16]; N], x: &[f32]) -> [f32; N] {
    assert!(rows.iter().all(|row| row.len() == x.len()));
    // SAFETY: whoever calls this asked `has_avx2`; all rows are as long as x, as was just checked.
    #[allow(unsafe_code)]
    let mut sums = unsafe { whole(rows.map(<[bf16]>::as_ptr), x) };
    let rest = x.len() - x.len() % LINE;
    for (sum, row) in sums.iter_mut().zip(rows) {
        *sum += row[rest..].iter().zip(&x[rest..]).map(|(w, x)| widen(*w) * x).sum::<f32>();
    }
    sums
}

/// The same for the lines that are whole.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn whole<const N: usize>(rows: [*const bf16; N], x: &[f32]) -> [f32; N] {
    let (x_len, mut totals) = (x.len(), [[_mm256_setzero_ps(); 2]; N]);
    for at in (0..x.len() - x.len() % LINE).step_by(LINE) {
        for part in 0..2 {
            let at = at + part * 2 * LANES;
            // SAFETY: a line is there, of x and of every row.
            let x = unsafe { [0, LANES].map(|lane| _mm256_loadu_ps(x.as_ptr().add(at + lane))) };
            for (totals, row) in totals.iter_mut().zip(rows) {
                if part == 0 {
                    // What comes after these rows.
                    prefetch(row.wrapping_add(at + N * x_len));
                }
                for ((total, x), lane) in totals.iter_mut().zip(x).zip([0, LANES]) {
                    // SAFETY: as above.
                    let narrow = unsafe { _mm_loadu_si128(row.add(at + lane).cast()) };
                    // A bf16 is the upper half of an f32.
                    let wide = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(narrow));
                    *total = _mm256_fmadd_ps(_mm256_castsi256_ps(wide), x, *total);
                }
            }
        }
    }
    totals.map(|[first, second]| added(_mm256_add_ps(first, second)))
}
