//! The product with the byte products of AVX-512.

use std::arch::x86_64::*;

use super::super::rows::prefetch;
use super::{Head, Numbers, XBlock};

/// In each quarter of a register that repeats a head: the two bytes that hold each of its 16 fields, one field a word.
const FIELD_BYTES: [i8; 64] = field_bytes();
/// And by how many bits the field lies above the lowest bit.
const FIELD_SHIFTS: [i32; 16] = field_shifts();
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

/// Rows of weights with a row of x of as many blocks; each sum is what it would be alone.
pub(super) fn sums<const N: usize>(rows: [(&[Head], &[Numbers]); N], x: &[XBlock]) -> [f32; N] {
    for (heads, numbers) in &rows {
        assert!(heads.len() == x.len() && numbers.len() == x.len());
    }
    // SAFETY: the caller asked `has_byte_products`; all slices hold the same number of blocks, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        totals(rows, x)
    }
}

#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn totals<const N: usize>(rows: [(&[Head], &[Numbers]); N], x: &[XBlock]) -> [f32; N] {
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
    let mut totals = [_mm512_setzero_ps(); N];
    for (at, x) in x.iter().enumerate() {
        // SAFETY: a block of x holds four registers of numbers and one of factors.
        let (x_numbers, factors) = unsafe {
            let load = |register: usize| _mm512_load_si512(x.numbers[register].as_ptr().cast());
            ([load(0), load(1), load(2), load(3)], _mm512_load_ps(x.factors.as_ptr()))
        };
        for (total, (heads, numbers)) in totals.iter_mut().zip(rows) {
            prefetch(numbers, at + N * heads.len());
            // SAFETY: every row has as many blocks as x.
            let (head, first, second) = unsafe {
                let numbers = numbers.as_ptr().add(at).cast::<__m512i>();
                (
                    _mm512_broadcast_i32x4(_mm_load_si128(heads.as_ptr().add(at).cast())),
                    _mm512_load_si512(numbers),
                    _mm512_load_si512(numbers.add(1)),
                )
            };
            let mut sum = _mm512_setzero_si512();
            for (line, [low, high]) in
                [(first, [x_numbers[0], x_numbers[1]]), (second, [x_numbers[2], x_numbers[3]])]
            {
                sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(line, four_bits), low);
                let line = _mm512_srli_epi16::<4>(line);
                sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(line, four_bits), high);
            }
            let fields = _mm512_srlv_epi32(_mm512_shuffle_epi8(head, field_bytes), field_shifts);
            let fields = _mm512_cvtepi32_ps(_mm512_and_si512(fields, six_bits));
            let steps = _mm512_cvtph_ps(_mm256_shuffle_epi8(_mm512_castsi512_si256(head), step_bytes));
            let scaled = _mm512_mul_ps(_mm512_mul_ps(fields, steps), factors);
            let scales = _mm512_permutexvar_ps(group_of_word, scaled);
            *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, *total);
            *total = _mm512_mask_add_ps(*total, MINS, *total, scaled);
        }
    }
    totals.map(|total| _mm512_reduce_add_ps(total))
}
