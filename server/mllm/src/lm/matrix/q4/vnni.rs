//! The product with the byte products of AVX-512.

use std::arch::x86_64::*;

use super::super::rows::ask_ahead;
use super::{Head, QUAD, Quad, Row};

/// In each quarter of a register that repeats a head: the two bytes that hold each of its 16 fields, one field a word.
pub(super) const FIELD_BYTES: [i8; 64] = field_bytes();
/// And by how many bits the field lies above the lowest bit.
pub(super) const FIELD_SHIFTS: [i32; 16] = field_shifts();
/// Eight times the step, eight times that of the mins.
const STEP_BYTES: [i8; 32] =
    [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3];
/// Words that hold mins, after those that hold scales.
const MINS: __mmask16 = 0xff00;

const fn field_bytes() -> [i8; 64] {
    let mut bytes = [-1; 64];
    let mut field = 0;
    while field < 16 {
        let byte = 4 + field * 6 / 8;
        bytes[field * 4] = byte as i8;
        // The last field ends with the head.
        if byte + 1 < size_of::<Head>() {
            bytes[field * 4 + 1] = byte as i8 + 1;
        }
        field += 1;
    }
    bytes
}

const fn field_shifts() -> [i32; 16] {
    let mut shifts = [0; 16];
    let mut field = 0;
    while field < 16 {
        shifts[field] = (field * 6 % 8) as i32;
        field += 1;
    }
    shifts
}

/// See [`Quad::sums`].
pub(super) fn sums<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    assert!(quad.fits(x));
    // SAFETY: the caller asked `has_byte_products`, and x is as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(quad, x)
    }
}

#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sum<const M: usize>(quad: Quad, x: &[Row; M]) -> [[f32; M]; QUAD] {
    // SAFETY: constants of exactly these sizes.
    let (field_bytes, field_shifts, step_bytes) = unsafe {
        (
            _mm512_loadu_si512(FIELD_BYTES.as_ptr().cast()),
            _mm512_loadu_si512(FIELD_SHIFTS.as_ptr().cast()),
            _mm256_loadu_si256(STEP_BYTES.as_ptr().cast()),
        )
    };
    let (six_bits, four_bits) = (_mm512_set1_epi32(63), _mm512_set1_epi8(15));
    let group_of_word = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    let mut totals = [[_mm512_setzero_ps(); M]; QUAD];
    for (at, (heads, numbers)) in quad.heads.iter().zip(quad.numbers).enumerate() {
        let mut registers = [[_mm512_setzero_si512(); 4]; M];
        let mut factors = [_mm512_setzero_ps(); M];
        for of_x in 0..M {
            let x = &x[of_x][at];
            // SAFETY: a block of x is four registers, and one of factors.
            unsafe {
                let line = x.numbers.as_ptr().cast::<__m512i>();
                registers[of_x] = [0, 1, 2, 3].map(|register| _mm512_load_si512(line.add(register)));
                factors[of_x] = _mm512_load_ps(x.factors.as_ptr());
            }
        }
        for row in 0..QUAD {
            let (head, numbers) = (&raw const heads[row], &raw const numbers[row]);
            if M > 1 {
                ask_ahead(numbers);
                ask_ahead(numbers.cast::<__m512i>().wrapping_add(1));
            }
            // SAFETY: a head is a quarter of a register, and a block's numbers are two.
            let (head, lines) = unsafe {
                let line = numbers.cast::<__m512i>();
                (
                    _mm512_broadcast_i32x4(_mm_load_si128(head.cast())),
                    [_mm512_load_si512(line), _mm512_load_si512(line.add(1))],
                )
            };
            let low = lines.map(|line| _mm512_and_si512(line, four_bits));
            let high = lines.map(|line| _mm512_and_si512(_mm512_srli_epi16::<4>(line), four_bits));
            let fields = _mm512_srlv_epi32(_mm512_shuffle_epi8(head, field_bytes), field_shifts);
            let fields = _mm512_cvtepi32_ps(_mm512_and_si512(fields, six_bits));
            let steps = _mm512_cvtph_ps(_mm256_shuffle_epi8(_mm512_castsi512_si256(head), step_bytes));
            let steps = _mm512_mul_ps(fields, steps);
            for of_x in 0..M {
                let x = registers[of_x];
                let mut sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low[0], x[0]);
                sum = _mm512_dpbusd_epi32(sum, high[0], x[1]);
                sum = _mm512_dpbusd_epi32(sum, low[1], x[2]);
                sum = _mm512_dpbusd_epi32(sum, high[1], x[3]);
                let scaled = _mm512_mul_ps(steps, factors[of_x]);
                let scales = _mm512_permutexvar_ps(group_of_word, scaled);
                let total = &mut totals[row][of_x];
                *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, *total);
                *total = _mm512_mask_add_ps(*total, MINS, *total, scaled);
            }
        }
    }
    let mut sums = [[0.0; M]; QUAD];
    for (sum, total) in sums.as_flattened_mut().iter_mut().zip(totals.as_flattened()) {
        *sum = _mm512_reduce_add_ps(*total);
    }
    sums
}
