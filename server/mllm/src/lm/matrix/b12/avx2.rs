//! The product with AVX2, and rows as f32.

use std::arch::x86_64::*;

use super::super::q8::added;
use super::super::rows::has_avx2;
use super::{CHUNK, Chunk, HALF, Lanes, Others, Table};

/// Numbers whose lower bytes fill a register.
const QUARTER: usize = 32;
/// Numbers of a register of f32.
const LANES: usize = 8;

/// Sums of products of rows with rows of x that are as long; each is what it would be alone.
pub(super) fn sums<const N: usize, const M: usize>(rows: Lanes<N>, x: [&[f32]; M]) -> [[f32; M]; N] {
    assert!(has_avx2() && x.iter().all(|x| rows.quad.len() * CHUNK == x.len()));
    // SAFETY: the processor has what the function asks for, and all of x is as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(rows, x)
    }
}

/// Chunks of a row from `first` on as f32.
pub(super) fn write(row: Lanes<1>, first: usize, into: &mut [[f32; CHUNK]]) {
    assert!(has_avx2());
    // SAFETY: the processor has what the function asks for, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        widen(row, first, into);
    }
}

// No closures over registers below: those are compiled without the features, and registers would go through memory.

/// See [`sums`]; x is as long as the rows.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum<const N: usize, const M: usize>(mut rows: Lanes<N>, x: [&[f32]; M]) -> [[f32; M]; N] {
    let mut tables = [_mm256_setzero_si256(); N];
    for (spread_table, table) in tables.iter_mut().zip(rows.tables) {
        *spread_table = spread(table);
    }
    let mut totals = [[[_mm256_setzero_ps(); 2]; M]; N];
    for (at, chunks) in rows.quad.iter().enumerate() {
        let chunks = &chunks[rows.first..rows.first + N];
        for nth in 0..N {
            let chunk = &chunks[nth];
            if M > 1 {
                chunk.ask_ahead();
            }
            let upper = upper(chunk, &mut rows.others[nth], at, tables[nth]);
            for quarter in 0..4 {
                let wide = wide(&chunk.lower.as_flattened().as_chunks().0[quarter], upper[quarter]);
                for (totals, x) in totals[nth].iter_mut().zip(&x) {
                    let total = &mut totals[quarter % 2];
                    // SAFETY: x has this chunk.
                    unsafe {
                        let x = x.as_ptr().add(at * CHUNK + first(quarter));
                        for (part, wide) in wide.iter().enumerate() {
                            *total = _mm256_fmadd_ps(*wide, _mm256_loadu_ps(x.add(2 * part * LANES)), *total);
                        }
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

/// Where the first number of a quarter belongs: its registers are every second of half a chunk.
const fn first(quarter: usize) -> usize {
    quarter / 2 * HALF + quarter % 2 * LANES
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen(row: Lanes<1>, from: usize, into: &mut [[f32; CHUNK]]) {
    let ([table], [mut others]) = (row.tables, row.others);
    let table = spread(table);
    for (at, (chunks, into)) in (from..).zip(row.quad[from..].iter().zip(into)) {
        let chunk = &chunks[row.first];
        let upper = upper(chunk, &mut others, at, table);
        for quarter in 0..4 {
            let wide = wide(&chunk.lower.as_flattened().as_chunks().0[quarter], upper[quarter]);
            for (part, wide) in wide.iter().enumerate() {
                let Some(into) = into[first(quarter) + 2 * part * LANES..].first_chunk_mut::<LANES>() else {
                    break;
                };
                // SAFETY: a register is as many numbers.
                #[allow(unsafe_code)]
                unsafe {
                    _mm256_storeu_ps(into.as_mut_ptr(), *wide);
                }
            }
        }
    }
}

/// The upper bytes of a row's chunk, the `at`th, by quarters.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn upper(chunk: &Chunk, others: &mut Others, at: usize, table: __m256i) -> [__m256i; 4] {
    let low_bits = _mm256_set1_epi8(15);
    let mut upper = [_mm256_setzero_si256(); 4];
    for (nth, codes) in chunk.codes.as_chunks().0.iter().enumerate() {
        let codes = bytes(codes);
        upper[nth] = _mm256_shuffle_epi8(table, _mm256_and_si256(codes, low_bits));
        upper[nth + 2] =
            _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low_bits));
    }
    while let Some((place, byte)) = others.next(at) {
        let here = _mm256_cmpeq_epi8(places(), _mm256_set1_epi8((place % QUARTER) as i8));
        let byte = _mm256_set1_epi8(byte.cast_signed());
        for (quarter, upper) in upper.iter_mut().enumerate() {
            if quarter == place / QUARTER {
                *upper = _mm256_blendv_epi8(*upper, byte, here);
            }
        }
    }
    upper
}

/// A quarter of a chunk as f32: a bf16 is the upper half of one.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn wide(lower: &[u8; QUARTER], upper: __m256i) -> [__m256; 4] {
    let (lower, odd) = (bytes(lower), _mm256_set1_epi32(!0xffff));
    let first = _mm256_unpacklo_epi8(lower, upper);
    let second = _mm256_unpackhi_epi8(lower, upper);
    [
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(first)),
        _mm256_castsi256_ps(_mm256_and_si256(first, odd)),
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(second)),
        _mm256_castsi256_ps(_mm256_and_si256(second, odd)),
    ]
}

/// A table in both halves.
#[target_feature(enable = "avx2,fma,f16c")]
fn spread(table: &Table) -> __m256i {
    // SAFETY: a table is as many bytes.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()))
    }
}

/// Each byte's place.
#[target_feature(enable = "avx2,fma,f16c")]
fn places() -> __m256i {
    bytes(&std::array::from_fn(|place| place as u8))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn bytes(bytes: &[u8; QUARTER]) -> __m256i {
    // SAFETY: a register is as many bytes.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}
