//! Weights of one axis of a resize: Pillow's 22-bit integer bicubic.
//!
//! Source: `precompute_coeffs` and `normalize_coeffs_8bpc` in Pillow's `src/libImaging/Resample.c`. The weights are
//! computed in f64 in that order of operations and rounded to integers; from there on no float is involved, so every
//! executor that multiplies and adds in `i32` has the same bytes.

use super::error::{MAX_SIDE, PixelError};

/// Fraction bits of a weight: 32 less 8 for the sample and 2 for overshoot.
pub const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Where a sum starts, so that the shift down rounds to nearest.
pub const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Radius of the bicubic kernel in source pixels at scale 1.
const SUPPORT: f64 = 2.0;

/// For each target pixel of an axis: the first source pixel, how many, and their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    source: u32,
    stride: usize,
    bounds: Vec<[u32; 2]>,
    weights: Vec<i32>,
}

impl Axis {
    /// The weights that take `source` pixels to `target` pixels.
    ///
    /// # Errors
    /// [`PixelError::Size`] unless both are in 1..=[`MAX_SIDE`].
    pub fn new(source: u32, target: u32) -> Result<Self, PixelError> {
        let sides = 1..=MAX_SIDE;
        if !(sides.contains(&source) && sides.contains(&target)) {
            return Err(PixelError::Size { width: source, height: target });
        }
        let scale = f64::from(source) / f64::from(target);
        let kernel_scale = scale.max(1.0);
        let stride = (SUPPORT * kernel_scale).ceil() as usize * 2 + 1;
        let mut axis = Self {
            source,
            stride,
            bounds: Vec::with_capacity(target as usize),
            weights: vec![0; stride * target as usize],
        };
        let mut row = Vec::with_capacity(stride);
        for (at, slot) in (0..target).zip(axis.weights.chunks_exact_mut(stride)) {
            let centre = (f64::from(at) + 0.5) * scale;
            axis.bounds.push(kernel_row(centre, kernel_scale, source, &mut row));
            for (weight, exact) in slot.iter_mut().zip(&row) {
                *weight = to_fixed(*exact);
            }
        }
        Ok(axis)
    }

    /// Number of source pixels.
    #[must_use]
    pub fn source(&self) -> u32 {
        self.source
    }

    /// Whether the target is the source: every sum is then one sample, and the pass can be left out.
    #[must_use]
    pub fn copies(&self) -> bool {
        self.len() == self.source as usize
    }

    /// Number of target pixels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    /// Never: an axis has at least one pixel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Weights kept per target pixel; those beyond its count are 0.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `[first source pixel, count]` of every target pixel; the count is at least 1.
    #[must_use]
    pub fn bounds(&self) -> &[[u32; 2]] {
        &self.bounds
    }

    /// All weights, [`Axis::stride`] per target pixel, in units of 2^-22.
    #[must_use]
    pub fn weights(&self) -> &[i32] {
        &self.weights
    }

    /// First source pixel and weights of each target pixel in turn.
    pub(super) fn taps(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let rows = self.weights.chunks_exact(self.stride);
        self.bounds.iter().zip(rows).map(|(&[first, count], row)| (first as usize, &row[..count as usize]))
    }
}

/// Fills `row` with the normalised kernel around `centre` and returns its first source pixel and length.
fn kernel_row(centre: f64, kernel_scale: f64, source: u32, row: &mut Vec<f64>) -> [u32; 2] {
    let support = SUPPORT * kernel_scale;
    let inverse = 1.0 / kernel_scale;
    // `as` cuts towards zero and stops at 0, as the C code does in two steps.
    let first = (centre - support + 0.5) as u32;
    let end = ((centre + support + 0.5) as u32).min(source);
    row.clear();
    let mut sum = 0.0;
    for at in 0..end - first {
        let weight = bicubic((f64::from(at + first) - centre + 0.5) * inverse);
        row.push(weight);
        sum += weight;
    }
    if sum != 0.0 {
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    [first, end - first]
}

/// Cubic convolution with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        return ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    }
    if x < 2.0 {
        return (((x - 5.0) * x + 8.0) * x - 4.0) * A;
    }
    0.0
}

/// Rounds half away from zero, by adding and cutting as the C code does.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    if weight < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_size_copies() {
        let axis = Axis::new(7, 7).unwrap();
        assert!(axis.copies());
        for (at, (first, weights)) in axis.taps().enumerate() {
            for (offset, &weight) in weights.iter().enumerate() {
                let expected = if first + offset == at { 1 << PRECISION_BITS } else { 0 };
                assert_eq!(weight, expected);
            }
        }
    }

    #[test]
    fn empty_and_endless_axes_are_refused() {
        assert!(Axis::new(0, 1).is_err() && Axis::new(1, 0).is_err() && Axis::new(MAX_SIDE + 1, 1).is_err());
        assert!(Axis::new(MAX_SIDE, 1).is_ok() && Axis::new(1, MAX_SIDE).is_ok());
    }

    proptest! {
        #[test]
        fn sums_stay_within_i32_and_taps_within_the_source(source in 1u32..3_000, target in 1u32..3_000) {
            let axis = Axis::new(source, target).unwrap();
            prop_assert_eq!(axis.len(), target as usize);
            for (first, weights) in axis.taps() {
                prop_assert!(!weights.is_empty() && first + weights.len() <= source as usize);
                let magnitude: i64 = weights.iter().map(|w| i64::from(*w).abs()).sum();
                prop_assert!(magnitude * 255 + i64::from(HALF) <= i64::from(i32::MAX));
                let sum: i64 = weights.iter().map(|w| i64::from(*w)).sum();
                prop_assert!((sum - (1 << PRECISION_BITS)).abs() <= weights.len() as i64);
            }
        }
    }
}
