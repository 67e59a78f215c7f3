//! The product with AVX-512, and rows as f32.

use std::arch::x86_64::*;

use super::super::rows::avx512::{LANES, added};
use super::super::rows::has_avx512;
use super::{CHUNK, HALF, Row, Table};

/// Sums of products of rows with rows of x that are as long; each is what it would be alone.
pub(super) fn sums<const N: usize, const M: usize>(rows: [Row; N], x: [&[f32]; M]) -> [[f32; M]; N] {
    assert!(has_avx512() && rows.iter().all(|row| x.iter().all(|x| row.chunks.len() * CHUNK == x.len())));
    // SAFETY: the processor has what the function asks for, and all rows are as long, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(rows, x)
    }
}

/// Chunks of a row from `first` on as f32.
pub(super) fn write(row: Row, first: usize, into: &mut [[f32; CHUNK]]) {
    assert!(has_avx512());
    // SAFETY: the processor has what the function asks for, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        widen(row, first, into);
    }
}

// No closures over registers below: those are compiled without the features, and registers would go through memory.

/// See [`sums`]; all rows are as long.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sum<const N: usize, const M: usize>(mut rows: [Row; N], x: [&[f32]; M]) -> [[f32; M]; N] {
    let mut tables = [_mm512_setzero_si512(); N];
    for nth in 0..N {
        tables[nth] = spread(rows[nth].table);
    }
    let chunks = rows.first().map_or(0, |row| row.chunks.len());
    let mut totals = [[[_mm512_setzero_ps(); 2]; M]; N];
    for at in 0..chunks {
        for nth in 0..N {
            let row = &mut rows[nth];
            row.prefetch(at, N);
            let (first, second) = upper(row, at, tables[nth]);
            let lower = &row.chunks[at].lower;
            let wide = [wide(&lower[0], first), wide(&lower[1], second)];
            for (totals, x) in totals[nth].iter_mut().zip(&x) {
                for (nth, wide) in wide.as_flattened().iter().enumerate() {
                    // SAFETY: x has this chunk.
                    let x = unsafe { _mm512_loadu_ps(x.as_ptr().add(at * CHUNK + nth * LANES)) };
                    totals[nth % 2] = _mm512_fmadd_ps(*wide, x, totals[nth % 2]);
                }
            }
        }
    }
    let mut sums = [[0.0; M]; N];
    for (sums, totals) in sums.iter_mut().zip(&totals) {
        for (sum, total) in sums.iter_mut().zip(totals) {
            *sum = added(total);
        }
    }
    sums
}

#[target_feature(enable = "avx512f,avx512bw")]
fn widen(mut row: Row, first: usize, into: &mut [[f32; CHUNK]]) {
    let table = spread(row.table);
    for (at, into) in (first..row.chunks.len()).zip(into) {
        let (first, second) = upper(&mut row, at, table);
        let lower = &row.chunks[at].lower;
        let wide = [wide(&lower[0], first), wide(&lower[1], second)];
        for (wide, into) in wide.as_flattened().iter().zip(into.as_chunks_mut::<LANES>().0) {
            // SAFETY: a register is as many numbers.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_storeu_ps(into.as_mut_ptr(), *wide);
            }
        }
    }
}

/// The upper bytes of the next chunk of a row, by halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn upper(row: &mut Row, at: usize, table: __m512i) -> (__m512i, __m512i) {
    let low_bits = _mm512_set1_epi8(15);
    let codes = bytes(&row.chunks[at].codes);
    let mut first = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, low_bits));
    let mut second = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_bits));
    while let Some((place, byte)) = row.others.next(at) {
        let (mask, byte) = (1 << (place % HALF), byte.cast_signed());
        if place < HALF {
            first = _mm512_mask_set1_epi8(first, mask, byte);
        } else {
            second = _mm512_mask_set1_epi8(second, mask, byte);
        }
    }
    (first, second)
}

/// Half a chunk as f32: a bf16 is the upper half of one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn wide(lower: &[u8; HALF], upper: __m512i) -> [__m512; 4] {
    let (lower, odd) = (bytes(lower), _mm512_set1_epi32(!0xffff));
    let first = _mm512_unpacklo_epi8(lower, upper);
    let second = _mm512_unpackhi_epi8(lower, upper);
    [
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(first)),
        _mm512_castsi512_ps(_mm512_and_si512(first, odd)),
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(second)),
        _mm512_castsi512_ps(_mm512_and_si512(second, odd)),
    ]
}

/// A table in every quarter.
#[target_feature(enable = "avx512f,avx512bw")]
fn spread(table: &Table) -> __m512i {
    // SAFETY: a table is as many bytes.
    #[allow(unsafe_code)]
    unsafe {
        _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()))
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bytes(bytes: &[u8; HALF]) -> __m512i {
    // SAFETY: a register is as many bytes.
    #[allow(unsafe_code)]
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}
