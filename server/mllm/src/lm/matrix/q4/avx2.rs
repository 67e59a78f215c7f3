//! The product with AVX2.

use std::arch::x86_64::*;

use super::super::q8::added;
use super::super::rows::ask_ahead;
use super::vnni::{FIELD_BYTES, FIELD_SHIFTS};
use super::{QUAD, Quad, Row};

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
    let fields = Fields::new();
    // Which group the words of the first half belong to, and of the second.
    let groups = [_mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3), _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)];
    let (four_bits, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut totals = [[[_mm256_setzero_ps(); 2]; M]; QUAD];
    for (at, (heads, numbers)) in quad.heads.iter().zip(quad.numbers).enumerate() {
        for row in 0..QUAD {
            let numbers = &raw const numbers[row];
            if M > 1 {
                ask_ahead(numbers);
                ask_ahead(numbers.cast::<__m256i>().wrapping_add(2));
            }
            // SAFETY: a head is half a register.
            let head = unsafe { _mm_loadu_si128((&raw const heads[row]).cast()) };
            let [scales, mins] = fields.of(head);
            let mut scaled = [_mm256_setzero_ps(); M];
            for of_x in 0..M {
                let factors = x[of_x][at].factors.as_ptr();
                // SAFETY: factors are two registers.
                let factors = unsafe { [_mm256_loadu_ps(factors), _mm256_loadu_ps(factors.add(8))] };
                scaled[of_x] = _mm256_mul_ps(scales, factors[0]);
                let total = &mut totals[row][of_x][0];
                *total = _mm256_fmadd_ps(mins, factors[1], *total);
            }
            for (half, groups) in groups.into_iter().enumerate() {
                // SAFETY: a block is two lines of two halves.
                let lines = unsafe {
                    let line = numbers.cast::<__m256i>().add(half);
                    [_mm256_loadu_si256(line), _mm256_loadu_si256(line.add(2))]
                };
                let low = lines.map(|line| _mm256_and_si256(line, four_bits));
                let high = lines.map(|line| _mm256_and_si256(_mm256_srli_epi16::<4>(line), four_bits));
                for of_x in 0..M {
                    // SAFETY: a block of x is four lines of two halves.
                    let x = unsafe {
                        let line = x[of_x][at].numbers.as_ptr().cast::<__m256i>().add(half);
                        [0, 1, 2, 3].map(|register| _mm256_loadu_si256(line.add(2 * register)))
                    };
                    // Eight products of at most 15 times 127 fit into 16 bits.
                    let first = _mm256_add_epi16(
                        _mm256_maddubs_epi16(low[0], x[0]),
                        _mm256_maddubs_epi16(high[0], x[1]),
                    );
                    let second = _mm256_add_epi16(
                        _mm256_maddubs_epi16(low[1], x[2]),
                        _mm256_maddubs_epi16(high[1], x[3]),
                    );
                    let sum = _mm256_madd_epi16(_mm256_add_epi16(first, second), ones);
                    let scale = _mm256_permutevar8x32_ps(scaled[of_x], groups);
                    let total = &mut totals[row][of_x][half];
                    *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, *total);
                }
            }
        }
    }
    let mut sums = [[0.0; M]; QUAD];
    for (sum, [first, second]) in sums.as_flattened_mut().iter_mut().zip(totals.as_flattened()) {
        *sum = added(_mm256_add_ps(*first, *second));
    }
    sums
}

/// How fields are taken out of a head: those of the scales, then those of the mins.
struct Fields {
    bytes: [__m256i; 2],
    shifts: [__m256i; 2],
}

impl Fields {
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new() -> Self {
        // SAFETY: constants of exactly two registers.
        unsafe {
            let (bytes, shifts) =
                (FIELD_BYTES.as_ptr().cast::<__m256i>(), FIELD_SHIFTS.as_ptr().cast::<__m256i>());
            Self {
                bytes: [0, 1].map(|half| _mm256_loadu_si256(bytes.add(half))),
                shifts: [0, 1].map(|half| _mm256_loadu_si256(shifts.add(half))),
            }
        }
    }

    /// Scales and mins of a head's groups.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn of(&self, head: __m128i) -> [__m256; 2] {
        let steps = _mm_cvtph_ps(head);
        let steps = [_mm256_broadcastss_ps(steps), _mm256_broadcastss_ps(_mm_movehdup_ps(steps))];
        let twice = _mm256_broadcastsi128_si256(head);
        std::array::from_fn(|half| {
            let fields = _mm256_srlv_epi32(_mm256_shuffle_epi8(twice, self.bytes[half]), self.shifts[half]);
            let fields = _mm256_cvtepi32_ps(_mm256_and_si256(fields, _mm256_set1_epi32(63)));
            _mm256_mul_ps(fields, steps[half])
        })
    }
}
