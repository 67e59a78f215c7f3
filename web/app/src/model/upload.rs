//! The size at which a picture travels.

use loupe_shared::pixels::{PixelLimits, smart_resize};

/// Largest area that is uploaded, in pixels: 1,280 merged tokens of 28 x 28. The server sees no more than that.
pub const MAX_UPLOAD_PIXELS: u64 = 1_280 * 28 * 28;

/// The (width, height) at which a picture or a part of `width` x `height` pixels travels: its own where that is small
/// enough (nothing is ever enlarged), else what `smart_resize` makes of it.
#[must_use]
pub fn travel_size(width: u32, height: u32) -> (u32, u32) {
    if u64::from(width) * u64::from(height) <= MAX_UPLOAD_PIXELS {
        return (width, height);
    }
    let limits = PixelLimits { max_pixels: MAX_UPLOAD_PIXELS, ..PixelLimits::default() };
    match smart_resize(height, width, limits) {
        Ok((h, w)) => (w.min(width), h.min(height)),
        // Slimmer than the model takes: the server says so, in its own words.
        Err(_) => (width, height),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_pictures_travel_as_they_are() {
        assert_eq!(travel_size(448, 448), (448, 448));
        assert_eq!(travel_size(1, 1), (1, 1));
        assert_eq!(travel_size(4_000, 3_000), (1_148, 840));
    }

    proptest! {
        #[test]
        fn nothing_is_enlarged_nor_too_large(w in 1_u32..16_000, h in 1_u32..16_000) {
            let (out_w, out_h) = travel_size(w, h);
            prop_assert!(out_w >= 1 && out_h >= 1 && out_w <= w && out_h <= h);
            if w.max(h) <= 200 * w.min(h) {
                prop_assert!(u64::from(out_w) * u64::from(out_h) <= MAX_UPLOAD_PIXELS);
            }
        }
    }
}
