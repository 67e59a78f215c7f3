//! The size at which the model sees a picture.

use super::error::{MAX_SIDE, PixelError};

/// The longer side may be at most this many times the shorter one.
const MAX_ASPECT: f64 = 200.0;

/// Which sizes a model takes. Qwen2.5-VL's own: factor 28, 56 * 56 to 28 * 28 * 1,280 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelLimits {
    /// Both sides become multiples of this: patch size times merge size.
    pub factor: u32,
    /// Least area in pixels.
    pub min_pixels: u64,
    /// Largest area in pixels.
    pub max_pixels: u64,
}

impl Default for PixelLimits {
    fn default() -> Self {
        Self { factor: 28, min_pixels: 56 * 56, max_pixels: 28 * 28 * 1280 }
    }
}

/// The `(height, width)` that a picture is resized to: multiples of the factor, area within the limits, aspect kept as
/// nearly as that allows.
///
/// Follows `smart_resize` of transformers' `image_processing_qwen2_vl` to the last bit: Python's `round` goes half to
/// even, a side may come out as 0 first and is then scaled up with the area, and a small picture grows to `min_pixels`.
///
/// # Errors
/// [`PixelError::Size`] for a side of 0 or above [`MAX_SIDE`], [`PixelError::Aspect`] beyond 200 to 1,
/// [`PixelError::Limits`] for limits that no picture meets.
pub fn smart_resize(height: u32, width: u32, limits: PixelLimits) -> Result<(u32, u32), PixelError> {
    let PixelLimits { factor, min_pixels, max_pixels } = limits;
    if factor == 0 || factor > MAX_SIDE || min_pixels == 0 || min_pixels > max_pixels {
        return Err(PixelError::Limits { factor, min: min_pixels, max: max_pixels });
    }
    let sides = 1..=MAX_SIDE;
    if !(sides.contains(&height) && sides.contains(&width)) {
        return Err(PixelError::Size { width, height });
    }
    let (h, w, f) = (f64::from(height), f64::from(width), f64::from(factor));
    if h.max(w) / h.min(w) > MAX_ASPECT {
        return Err(PixelError::Aspect { width, height });
    }

    let to_factor = |side: f64| (side / f).round_ties_even() * f;
    let (near_h, near_w) = (to_factor(h), to_factor(w));
    let (min, max) = (min_pixels as f64, max_pixels as f64);
    let (out_h, out_w) = if near_h * near_w > max {
        let beta = (h * w / max).sqrt();
        let shrink = |side: f64| ((side / beta / f).floor() * f).max(f);
        (shrink(h), shrink(w))
    } else if near_h * near_w < min {
        let beta = (min / (h * w)).sqrt();
        let grow = |side: f64| (side * beta / f).ceil() * f;
        (grow(h), grow(w))
    } else {
        (near_h, near_w)
    };
    Ok((out_h as u32, out_w as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_to_even() {
        // 42 / 28 = 1.5 and 70 / 28 = 2.5: both round to 2.
        let limits = PixelLimits { min_pixels: 1, ..PixelLimits::default() };
        assert_eq!(smart_resize(42, 70, limits), Ok((56, 56)));
    }

    #[test]
    fn a_single_pixel_grows_to_the_least_area() {
        assert_eq!(smart_resize(1, 1, PixelLimits::default()), Ok((56, 56)));
    }

    #[test]
    fn aspect_stops_at_two_hundred() {
        assert!(smart_resize(1, 200, PixelLimits::default()).is_ok());
        assert_eq!(
            smart_resize(1, 201, PixelLimits::default()),
            Err(PixelError::Aspect { width: 201, height: 1 })
        );
    }

    #[test]
    fn impossible_limits_are_refused() {
        let upside_down = PixelLimits { factor: 28, min_pixels: 10, max_pixels: 9 };
        assert_eq!(smart_resize(5, 5, upside_down).unwrap_err().code(), "pixel_limits");
        assert_eq!(smart_resize(0, 5, PixelLimits::default()).unwrap_err().code(), "picture_size");
    }

    proptest! {
        #[test]
        fn sides_are_multiples_and_the_area_is_capped(h in 1u32..9_000, w in 1u32..9_000) {
            let limits = PixelLimits::default();
            let Ok((out_h, out_w)) = smart_resize(h, w, limits) else {
                prop_assert!(f64::from(h.max(w)) / f64::from(h.min(w)) > 200.0);
                return Ok(());
            };
            prop_assert!(out_h % 28 == 0 && out_w % 28 == 0 && out_h > 0 && out_w > 0);
            prop_assert!(u64::from(out_h) * u64::from(out_w) <= limits.max_pixels);
        }
    }
}
