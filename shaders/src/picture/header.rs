//! What a picture's file says of itself, before anything is decoded.

use imagesize::ImageType;

use super::error::PictureError;

/// The largest picture that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLimits {
    /// Longest side in pixels.
    pub max_side: u32,
    /// Most pixels in all.
    pub max_pixels: u64,
}

/// The media type of a file that may be decoded. Its first bytes count, not its name or declared type.
///
/// # Errors
/// [`PictureError::Format`], [`PictureError::Damaged`] for a header without a size, [`PictureError::TooLarge`].
pub fn check_header(file: &[u8], limits: PictureLimits) -> Result<&'static str, PictureError> {
    let media_type = match imagesize::image_type(file) {
        Ok(ImageType::Png) => "image/png",
        Ok(ImageType::Jpeg) => "image/jpeg",
        Ok(ImageType::Webp) => "image/webp",
        _ => return Err(PictureError::Format),
    };
    let size = imagesize::blob_size(file).map_err(|error| PictureError::Damaged(error.to_string()))?;
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let (width, height) = (side(size.width), side(size.height));
    let PictureLimits { max_side, max_pixels } = limits;
    if width.max(height) > max_side || u64::from(width) * u64::from(height) > max_pixels {
        return Err(PictureError::TooLarge { width, height, max_side, max_pixels });
    }
    Ok(media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PictureLimits = PictureLimits { max_side: 2_000, max_pixels: 1_000_000 };

    /// The first bytes of a PNG, with nothing behind its header.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        [&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..], &size, b"\x08\x02\0\0\0\0\0\0\0"].concat()
    }

    #[test]
    fn a_size_within_the_limits_passes() {
        assert_eq!(check_header(&png(1_000, 1_000), LIMITS), Ok("image/png"));
    }

    #[test]
    fn a_large_picture_is_refused_by_its_header() {
        for (width, height) in [(30_000, 30_000), (2_001, 1), (1_001, 1_000), (u32::MAX, u32::MAX)] {
            assert_eq!(check_header(&png(width, height), LIMITS).unwrap_err().code(), "image_too_large");
        }
    }

    #[test]
    fn other_files_are_refused_by_their_first_bytes() {
        for file in [
            &b""[..],
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<!doctype html>",
            b"GIF89a\x01\0\x01\0",
        ] {
            assert_eq!(check_header(file, LIMITS), Err(PictureError::Format));
        }
        assert_eq!(check_header(&png(5, 5)[..14], LIMITS).unwrap_err().code(), "image_damaged");
    }
}
