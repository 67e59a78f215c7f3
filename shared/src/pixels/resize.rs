//! Bicubic resize with Pillow's bytes.
//!
//! Two passes in `i32`, each rounded to 8 bits (`ImagingResampleInner` in Pillow's `src/libImaging/Resample.c`).

use std::borrow::Cow;

use super::axis::{Axis, HALF, PRECISION_BITS};
use super::buffer::Rgb8;
use super::error::{PixelError, check_size};

/// Rows that a pass along the rows takes at once. They are interleaved so that one weight meets `LANES` neighbouring
/// samples, which the compiler turns into vector instructions.
const ROWS: usize = 8;
const LANES: usize = ROWS * 3;

/// Whether the pass along the rows comes first. Both are (width, height).
///
/// The rounding in between makes the order visible. Up to version 12 Pillow always began with the rows; since version
/// 13 it begins with the columns where the height loses more than twice as many pixels as the width.
#[must_use]
pub fn rows_first(source: (u32, u32), target: (u32, u32)) -> bool {
    let lost = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let (width_lost, height_lost) = (lost(source.0, target.0), lost(source.1, target.1));
    height_lost <= 0 || height_lost <= width_lost * 2
}

/// The picture at `width` x `height`, byte for byte what `PIL.Image.resize((width, height), BICUBIC)` of Pillow 13
/// gives.
///
/// # Errors
/// [`PixelError::Size`] for a target side of 0, or for sides or an area beyond what a picture may have (also in
/// between the passes, where one side is already the target's).
pub fn resize(source: &Rgb8, width: u32, height: u32) -> Result<Rgb8, PixelError> {
    check_size(width, height)?;
    let columns = Axis::new(source.width(), width)?;
    let rows = Axis::new(source.height(), height)?;
    let pixels = Cow::Borrowed(source.data());
    let data = if rows_first((source.width(), source.height()), (width, height)) {
        check_size(width, source.height())?;
        along_columns(along_rows(pixels, &columns), width, &rows)
    } else {
        check_size(source.width(), height)?;
        along_rows(along_columns(pixels, source.width(), &rows), &columns)
    };
    Rgb8::new(width, height, data.into_owned()).map_err(|_mismatch| PixelError::Size { width, height })
}

/// Takes every row of a picture to the axis' length.
fn along_rows<'a>(pixels: Cow<'a, [u8]>, axis: &Axis) -> Cow<'a, [u8]> {
    if axis.copies() {
        return pixels;
    }
    let source_row = axis.source() as usize * 3;
    let target_row = axis.len() * 3;
    let mut out = vec![0; pixels.len() / source_row * target_row];
    let mut block = vec![[0u8; LANES]; axis.source() as usize];
    let sources = pixels.chunks(source_row * ROWS);
    for (rows, target) in sources.zip(out.chunks_mut(target_row * ROWS)) {
        interleave(rows, source_row, &mut block);
        for (x, (first, weights)) in axis.taps().enumerate() {
            let pixel = weigh_block(&block[first..], weights);
            for (line, rgb) in target.chunks_exact_mut(target_row).zip(pixel.chunks_exact(3)) {
                line[x * 3..x * 3 + 3].copy_from_slice(rgb);
            }
        }
    }
    Cow::Owned(out)
}

/// Puts the same column of up to [`ROWS`] rows side by side. Rows that are not there keep what they had: their sums
/// are dropped.
fn interleave(rows: &[u8], row_bytes: usize, block: &mut [[u8; LANES]]) {
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (column, rgb) in block.iter_mut().zip(row.chunks_exact(3)) {
            column[lane * 3..lane * 3 + 3].copy_from_slice(rgb);
        }
    }
}

/// One target pixel of [`ROWS`] rows.
fn weigh_block(columns: &[[u8; LANES]], weights: &[i32]) -> [u8; LANES] {
    let mut sums = [HALF; LANES];
    for (column, &weight) in columns.iter().zip(weights) {
        for (sum, &sample) in sums.iter_mut().zip(column) {
            *sum += i32::from(sample) * weight;
        }
    }
    sums.map(to_byte)
}

/// Takes every column of a picture of `width` to the axis' length: whole rows are summed into each target row.
fn along_columns<'a>(pixels: Cow<'a, [u8]>, width: u32, axis: &Axis) -> Cow<'a, [u8]> {
    if axis.copies() {
        return pixels;
    }
    let row_bytes = width as usize * 3;
    let mut out = vec![0; row_bytes * axis.len()];
    let mut sums = vec![0i32; row_bytes];
    for (target, (first, weights)) in out.chunks_exact_mut(row_bytes).zip(axis.taps()) {
        sums.fill(HALF);
        for (row, &weight) in pixels.chunks_exact(row_bytes).skip(first).zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (byte, &sum) in target.iter_mut().zip(&sums) {
            *byte = to_byte(sum);
        }
    }
    Cow::Owned(out)
}

/// Drops the fraction and clamps.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::pattern;
    use proptest::prelude::*;

    #[test]
    fn impossible_targets_are_refused() {
        let picture = pattern(3, 2).unwrap();
        for (width, height) in [(0, 1), (1, 0), (65_536, 1), (1, 65_536), (65_535, 65_535)] {
            assert_eq!(resize(&picture, width, height), Err(PixelError::Size { width, height }));
        }
    }

    #[test]
    fn a_strip_that_would_explode_between_the_passes_is_refused() {
        let strip = pattern(2, 65_535).unwrap();
        assert_eq!(resize(&strip, 5_000, 65_535).unwrap_err().code(), "picture_size");
    }

    #[test]
    fn the_columns_come_first_when_the_height_loses_more_than_twice_as_much() {
        assert!(rows_first((100, 100), (90, 80)));
        assert!(!rows_first((100, 100), (90, 79)));
        assert!(!rows_first((10, 10), (20, 9)));
        assert!(rows_first((10, 10), (20, 10)));
    }

    /// One pass of the definition, without blocks, vectors or early outs: `at` gives the samples along the axis.
    fn plain_sum(at: impl Fn(usize) -> u8, first: usize, weights: &[i32]) -> u8 {
        let sum = weights.iter().enumerate().map(|(i, w)| i32::from(at(first + i)) * w).sum::<i32>();
        ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
    }

    fn plain_rows(pixels: &[u8], axis: &Axis) -> Vec<u8> {
        let mut out = Vec::new();
        for row in pixels.chunks_exact(axis.source() as usize * 3) {
            for (first, weights) in axis.taps() {
                out.extend((0..3).map(|c| plain_sum(|x| row[x * 3 + c], first, weights)));
            }
        }
        out
    }

    fn plain_columns(pixels: &[u8], row: usize, axis: &Axis) -> Vec<u8> {
        let mut out = Vec::new();
        for (first, weights) in axis.taps() {
            out.extend((0..row).map(|i| plain_sum(|y| pixels[y * row + i], first, weights)));
        }
        out
    }

    fn plain(source: &Rgb8, width: u32, height: u32) -> Vec<u8> {
        let columns = Axis::new(source.width(), width).unwrap();
        let rows = Axis::new(source.height(), height).unwrap();
        if rows_first((source.width(), source.height()), (width, height)) {
            return plain_columns(&plain_rows(source.data(), &columns), width as usize * 3, &rows);
        }
        plain_rows(&plain_columns(source.data(), source.width() as usize * 3, &rows), &columns)
    }

    proptest! {
        #[test]
        fn blocks_change_nothing(w in 1u32..40, h in 1u32..40, to_w in 1u32..60, to_h in 1u32..60) {
            let picture = pattern(w, h).unwrap();
            let resized = resize(&picture, to_w, to_h).unwrap();
            prop_assert_eq!(resized.data(), plain(&picture, to_w, to_h));
        }

        #[test]
        fn one_colour_stays_that_colour(w in 1u32..50, h in 1u32..50, to_w in 1u32..90, to_h in 1u32..90, v: u8) {
            let flat = Rgb8::new(w, h, vec![v; (w * h * 3) as usize]).unwrap();
            prop_assert!(resize(&flat, to_w, to_h).unwrap().data().iter().all(|&byte| byte == v));
        }
    }
}
