//! The product with AVX-512, and rows as f32.

use std::arch::x86_64::*;

use super::super::rows::avx512::LANES;
use super::super::rows::has_avx512;
use super::{CHUNK, Chunk, HALF, Lanes, Others, Table};

/// Sums of products of rows with rows of x that are as long; each is what it would be alone.
pub(super) fn sums<const N: usize, const M: usize>(rows: Lanes<N>, x: [&[f32]; M]) -> [[f32; M]; N] {
    assert!(has_avx512() && x.iter().all(|x| rows.quad.len() * CHUNK == x.len()));
    // SAFETY: the processor has what the function asks for, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        sum(rows, x)
    }
}

/// Chunks of a row from `first` on as f32.
pub(super) fn write(row: Lanes<1>, first: usize, into: &mut [[f32; CHUNK]]) {
    assert!(has_avx512());
    // SAFETY: the processor has what the function asks for, as was just checked.
    #[allow(unsafe_code)]
    unsafe {
        widen(row, first, into);
    }
}

/// The first chunk in which one of the rows has others.
#[inline(always)]
fn soonest(others: &[Others]) -> usize {
    let firsts = others.iter().filter_map(|others| others.0.first());
    firsts.map(|other| other.place as usize / CHUNK).min().unwrap_or(usize::MAX)
}

// No closures over registers below: those are compiled without the features, and registers would go through memory.

/// Sums of `N` rows with `M` of x. One register each: with what else is needed they fill those that there are.
type Totals<const N: usize, const M: usize> = [[__m512; M]; N];
/// A chunk of each of `M` rows of x.
type OfX<const M: usize> = [[__m512; CHUNK / LANES]; M];

/// See [`sums`].
#[target_feature(enable = "avx512f,avx512bw")]
fn sum<const N: usize, const M: usize>(mut rows: Lanes<N>, x: [&[f32]; M]) -> [[f32; M]; N] {
    let mut tables = [_mm512_setzero_si512(); N];
    for (spread_table, table) in tables.iter_mut().zip(rows.tables) {
        *spread_table = spread(table);
    }
    let mut totals = [[_mm512_setzero_ps(); M]; N];
    let mut soonest_others = soonest(&rows.others);
    let x = x.map(|x| x.as_chunks::<CHUNK>().0);
    for (at, chunks) in rows.quad.iter().enumerate() {
        let Some(chunks) = chunks[rows.first..].first_chunk::<N>() else { break };
        let x = x.map(|x| &x[at]);
        if at == soonest_others {
            totals = plus_with_others(totals, chunks, tables, x, &mut rows.others, at);
            soonest_others = soonest(&rows.others);
        } else {
            totals = plus(totals, chunks, tables, x);
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

/// Adds a chunk in which every number has a code.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn plus<const N: usize, const M: usize>(
    mut totals: Totals<N, M>,
    chunks: &[Chunk; N],
    tables: [__m512i; N],
    x: [&[f32; CHUNK]; M],
) -> Totals<N, M> {
    let of_x = loaded(x);
    for nth in 0..N {
        if M > 1 {
            chunks[nth].ask_ahead();
        }
        add(&mut totals[nth], &chunks[nth], upper(&chunks[nth], tables[nth]), &of_x);
    }
    totals
}

/// Adds the `at`th chunk, in which some have none. Apart: it would keep the registers of the other from being registers.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw")]
fn plus_with_others<const N: usize, const M: usize>(
    mut totals: Totals<N, M>,
    chunks: &[Chunk; N],
    tables: [__m512i; N],
    x: [&[f32; CHUNK]; M],
    others: &mut [Others; N],
    at: usize,
) -> Totals<N, M> {
    let of_x = loaded(x);
    for nth in 0..N {
        let upper = with_others(upper(&chunks[nth], tables[nth]), &mut others[nth], at);
        add(&mut totals[nth], &chunks[nth], upper, &of_x);
    }
    totals
}

/// x, loaded once for all rows: what is loaded beside the weights keeps the processor from reading on ahead.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn loaded<const M: usize>(x: [&[f32; CHUNK]; M]) -> OfX<M> {
    let mut of_x = [[_mm512_setzero_ps(); CHUNK / LANES]; M];
    for (of_x, x) in of_x.iter_mut().zip(x) {
        for (of_x, x) in of_x.iter_mut().zip(x.as_chunks::<LANES>().0) {
            // SAFETY: a register is as many numbers.
            #[allow(unsafe_code)]
            unsafe {
                *of_x = _mm512_loadu_ps(x.as_ptr());
            }
        }
    }
    of_x
}

/// Adds a row's chunk.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add<const M: usize>(totals: &mut [__m512; M], chunk: &Chunk, upper: [__m512i; 2], of_x: &OfX<M>) {
    let wide = [wide(&chunk.lower[0], upper[0]), wide(&chunk.lower[1], upper[1])];
    for (total, of_x) in totals.iter_mut().zip(of_x) {
        for (wide, x) in wide.as_flattened().iter().zip(of_x) {
            *total = _mm512_fmadd_ps(*wide, *x, *total);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn widen(row: Lanes<1>, first: usize, into: &mut [[f32; CHUNK]]) {
    let ([table], [mut others]) = (row.tables, row.others);
    let table = spread(table);
    for (at, (chunks, into)) in (first..).zip(row.quad[first..].iter().zip(into)) {
        let chunk = &chunks[row.first];
        let upper = with_others(upper(chunk, table), &mut others, at);
        let wide = [wide(&chunk.lower[0], upper[0]), wide(&chunk.lower[1], upper[1])];
        for (wide, into) in wide.as_flattened().iter().zip(into.as_chunks_mut::<LANES>().0) {
            // SAFETY: a register is as many numbers.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_storeu_ps(into.as_mut_ptr(), *wide);
            }
        }
    }
}

/// The upper bytes of a row's chunk, by halves, without what has no code.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn upper(chunk: &Chunk, table: __m512i) -> [__m512i; 2] {
    let low_bits = _mm512_set1_epi8(15);
    let codes = bytes(&chunk.codes);
    [
        _mm512_shuffle_epi8(table, _mm512_and_si512(codes, low_bits)),
        _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_bits)),
    ]
}

/// With what has no code in the row's chunk, the `at`th.
#[target_feature(enable = "avx512f,avx512bw")]
fn with_others(mut upper: [__m512i; 2], others: &mut Others, at: usize) -> [__m512i; 2] {
    while let Some((place, byte)) = others.next(at) {
        let half = &mut upper[place / HALF];
        *half = _mm512_mask_set1_epi8(*half, 1 << (place % HALF), byte.cast_signed());
    }
    upper
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
