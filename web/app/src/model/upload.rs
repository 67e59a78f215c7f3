//! Which files are taken, and at which size a picture travels.

use loupe_shared::pixels::{PixelLimits, smart_resize};
use loupe_shared::protocol::Limits;

use super::problem::Problem;

/// Largest area that is uploaded, in pixels: 1,280 merged tokens of 28 x 28. The server sees no more than that.
pub const MAX_UPLOAD_PIXELS: u64 = 1_280 * 28 * 28;

/// A picture format that both ends read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl Format {
    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// Recognises a picture by its first bytes; names and declared types are not believed.
///
/// # Errors
/// A [`Problem`] for any other file.
pub fn sniff(bytes: &[u8]) -> Result<Format, Problem> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    Err(Problem::new(
        "not_a_picture",
        "This file is not a PNG, JPEG or WebP picture.",
        "Save it in one of these formats, or take a screenshot of it and paste that.",
    ))
}

/// Holds a picture's header against what the server takes.
///
/// # Errors
/// A [`Problem`] when a side or the area is too large.
pub fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), Problem> {
    let area = u64::from(width) * u64::from(height);
    if width.max(height) <= limits.image_side && area <= u64::from(limits.image_pixels) {
        return Ok(());
    }
    Err(Problem::new(
        "image_too_large",
        format!("This picture has {width} × {height} pixels, more than Loupe takes."),
        format!(
            "Make it smaller: at most {} pixels a side and {} megapixels.",
            limits.image_side,
            limits.image_pixels / 1_000_000
        ),
    ))
}

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

    const LIMITS: Limits = Limits {
        question_bytes: 4_000,
        image_bytes: 25_000_000,
        image_pixels: 50_000_000,
        image_side: 16_384,
    };

    #[test]
    fn content_decides_not_the_name() {
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n....").unwrap(), Format::Png);
        assert_eq!(sniff(b"\xff\xd8\xff\xe0").unwrap(), Format::Jpeg);
        assert_eq!(sniff(b"RIFF\0\0\0\0WEBPVP8 ").unwrap(), Format::WebP);
        for other in [&b""[..], b"<svg xmlns=", b"GIF89a", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(sniff(other).unwrap_err().code, "not_a_picture");
        }
    }

    #[test]
    fn a_header_is_held_against_the_limits() {
        assert!(check_size(1, 1, &LIMITS).is_ok());
        assert!(check_size(4_000, 3_000, &LIMITS).is_ok());
        assert_eq!(check_size(30_000, 30_000, &LIMITS).unwrap_err().code, "image_too_large");
        assert!(check_size(16_385, 1, &LIMITS).is_err());
    }

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
