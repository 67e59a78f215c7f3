//! Bicubic resize with Pillow's bytes.
//!
//! Two passes in `i32`: along the rows, rounded to 8 bits, then along the columns, rounded again
//! (`ImagingResampleInner` in Pillow's `src/libImaging/Resample.c`).

use super::axis::{Axis, HALF, PRECISION_BITS};
use super::buffer::Rgb8;
use super::error::{PixelError, check_size};

/// Rows that the first pass takes at once. They are interleaved so that one weight meets `LANES` neighbouring
/// samples, which the compiler turns into vector instructions.
const ROWS: usize = 8;
const LANES: usize = ROWS * 3;

/// The picture at `width` x `height`, byte for byte what `PIL.Image.resize((width, height), BICUBIC)` gives.
///
/// # Errors
/// [`PixelError::Size`] for a target side of 0, or for sides or an area beyond what a picture may have (also in
/// between the passes, at the target's width and the source's height).
pub fn resize(source: &Rgb8, width: u32, height: u32) -> Result<Rgb8, PixelError> {
    check_size(width, height)?;
    check_size(width, source.height())?;
    let narrowed;
    let rows = if width == source.width() {
        source.data()
    } else {
        narrowed = along_rows(source, &Axis::new(source.width(), width)?);
        &narrowed
    };
    let data = if height == source.height() {
        rows.to_vec()
    } else {
        along_columns(rows, width as usize * 3, &Axis::new(source.height(), height)?)
    };
    Rgb8::new(width, height, data).map_err(|_mismatch| PixelError::Size { width, height })
}

/// First pass: every row to the axis' length.
fn along_rows(source: &Rgb8, axis: &Axis) -> Vec<u8> {
    let source_row = source.width() as usize * 3;
    let target_row = axis.len() * 3;
    let mut out = vec![0; target_row * source.height() as usize];
    let mut block = vec![[0u8; LANES]; source.width() as usize];
    let sources = source.data().chunks(source_row * ROWS);
    for (rows, target) in sources.zip(out.chunks_mut(target_row * ROWS)) {
        interleave(rows, source_row, &mut block);
        for (x, (first, weights)) in axis.taps().enumerate() {
            let pixel = weigh_block(&block[first..], weights);
            for (line, rgb) in target.chunks_exact_mut(target_row).zip(pixel.chunks_exact(3)) {
                line[x * 3..x * 3 + 3].copy_from_slice(rgb);
            }
        }
    }
    out
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

/// Second pass: rows of `row_bytes` are summed into each target row.
fn along_columns(rows: &[u8], row_bytes: usize, axis: &Axis) -> Vec<u8> {
    let mut out = vec![0; row_bytes * axis.len()];
    let mut sums = vec![0i32; row_bytes];
    for (target, (first, weights)) in out.chunks_exact_mut(row_bytes).zip(axis.taps()) {
        sums.fill(HALF);
        for (row, &weight) in rows.chunks_exact(row_bytes).skip(first).zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (byte, &sum) in target.iter_mut().zip(&sums) {
            *byte = to_byte(sum);
        }
    }
    out
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
            assert_eq!(
                resize(&picture, width, height),
                Err(PixelError::Size { width, height })
            );
        }
    }

    #[test]
    fn a_strip_that_would_explode_between_the_passes_is_refused() {
        let tall = Rgb8::new(1, 65_535, vec![7; 65_535 * 3]).unwrap();
        assert_eq!(resize(&tall, 65_535, 1).unwrap_err().code(), "picture_size");
    }

    /// The definition without blocks, vectors or early outs.
    fn plain(source: &Rgb8, width: u32, height: u32) -> Vec<u8> {
        let pass = |at: &dyn Fn(usize) -> u8, first: usize, weights: &[i32]| {
            let sum = weights
                .iter()
                .enumerate()
                .map(|(i, w)| i32::from(at(first + i)) * w)
                .sum::<i32>();
            ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
        };
        let (columns, rows) = (
            Axis::new(source.width(), width).unwrap(),
            Axis::new(source.height(), height).unwrap(),
        );
        let (source_row, row) = (source.width() as usize * 3, width as usize * 3);
        let mut between = vec![0; row * source.height() as usize];
        for (y, line) in between.chunks_exact_mut(row).enumerate() {
            for (x, (first, weights)) in columns.taps().enumerate() {
                for c in 0..3 {
                    line[x * 3 + c] = pass(&|i| source.data()[y * source_row + i * 3 + c], first, weights);
                }
            }
        }
        let mut out = Vec::new();
        for (first, weights) in rows.taps() {
            out.extend((0..row).map(|i| pass(&|y| between[y * row + i], first, weights)));
        }
        out
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
