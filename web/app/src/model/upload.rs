//! The size at which a picture travels.

use loupe_shared::pixels::{PixelLimits, smart_resize};

/// Largest area that is uploaded to a model that sees no more, in pixels: 1,280 merged tokens of 28 x 28. A small model
/// sees less of it, but searches by picture find more in it.
const USUAL_PIXELS: u32 = 1_280 * 28 * 28;

/// Largest area that is uploaded, in pixels, to a server whose model sees `model_pixels`, as far as that is known.
#[must_use]
pub fn upload_pixels(model_pixels: Option<u32>) -> u32 {
    model_pixels.unwrap_or_default().max(USUAL_PIXELS)
}

/// The (width, height) at which a picture or a part of `width` x `height` pixels travels: its own where that is no
/// larger than `max_pixels` (nothing is ever enlarged), else what `smart_resize` makes of it.
#[must_use]
pub fn travel_size(width: u32, height: u32, max_pixels: u32) -> (u32, u32) {
    let max_pixels = u64::from(max_pixels);
    if u64::from(width) * u64::from(height) <= max_pixels {
        return (width, height);
    }
    let limits = PixelLimits { max_pixels, ..PixelLimits::default() };
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
        let usual = upload_pixels(None);
        assert_eq!(travel_size(448, 448, usual), (448, 448));
        assert_eq!(travel_size(1, 1, usual), (1, 1));
        assert_eq!(travel_size(4_000, 3_000, usual), (1_148, 840));
    }

    #[test]
    fn a_model_that_sees_more_is_sent_more_and_one_that_sees_less_is_not_sent_less() {
        assert_eq!(travel_size(4_000, 3_000, upload_pixels(Some(16_384 * 784))), (4_000, 3_000));
        assert_eq!(travel_size(4_000, 3_000, upload_pixels(Some(4_000 * 784))), (2_044, 1_512));
        assert_eq!(travel_size(4_000, 3_000, upload_pixels(Some(50_176))), (1_148, 840));
    }

    proptest! {
        #[test]
        fn nothing_is_enlarged_nor_too_large(
            w in 1_u32..16_000,
            h in 1_u32..16_000,
            most in USUAL_PIXELS..16_384 * 784,
        ) {
            let (out_w, out_h) = travel_size(w, h, most);
            prop_assert!(out_w >= 1 && out_h >= 1 && out_w <= w && out_h <= h);
            if w.max(h) <= 200 * w.min(h) {
                prop_assert!(u64::from(out_w) * u64::from(out_h) <= u64::from(most));
            }
        }
    }
}
