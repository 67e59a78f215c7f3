//! Bytes to upright pixels. What a file is, its first bytes say, never its name or declared type; its size is read
//! from the header before a pixel is decoded.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use loupe_shared::pixels::Rgb8;

use super::{MAX_BYTES, MAX_PIXELS, MAX_SIDE};

/// Most memory that one decoder may take: eight bytes for each pixel, and some room for the decoder itself.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS as u64 * 8 + 64 * 1024 * 1024;

/// The formats that are taken.
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
    /// The format that the first bytes say.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Some(Self::Png);
        }
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            return Some(Self::Jpeg);
        }
        let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
        is_webp.then_some(Self::WebP)
    }

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

/// Why bytes are not taken as a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing came.
    #[error("the picture is empty")]
    Empty,
    /// Not one of the formats.
    #[error("this is not a PNG, JPEG or WebP picture")]
    UnknownFormat,
    /// The file has too many bytes.
    #[error("the picture's file has {bytes} bytes, at most {MAX_BYTES} are taken")]
    TooManyBytes {
        /// What came.
        bytes: usize,
    },
    /// The picture is too large, by its header.
    #[error(
        "the picture has {width} x {height} pixels; at most {MAX_PIXELS} in all and {MAX_SIDE} a side are taken"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// It ends early or its content is wrong.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
}

impl ImageError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "image_empty",
            Self::UnknownFormat => "image_format",
            Self::TooManyBytes { .. } | Self::TooLarge { .. } => "image_too_large",
            Self::Damaged(_) => "image_damaged",
        }
    }
}

/// A decoded picture.
#[derive(Debug)]
pub struct Decoded {
    /// Upright pixels; what is transparent shows white.
    pub pixels: Rgb8,
    /// The file carries metadata (EXIF, XMP or IPTC), which may say where and by whom it was taken.
    pub has_metadata: bool,
}

/// Decodes a picture.
///
/// # Errors
/// [`ImageError`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, ImageError> {
    match check_file(bytes)? {
        Format::Png => {
            let limits = decoder_limits();
            decode_with(PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(damaged)?)
        }
        Format::Jpeg => decode_with(JpegDecoder::new(Cursor::new(bytes)).map_err(damaged)?),
        Format::WebP => decode_with(WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?),
    }
}

/// Width and height that the header of a stored picture says.
///
/// # Errors
/// [`ImageError`].
pub fn dimensions(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    reader.map_err(|error| ImageError::Damaged(error.to_string()))?.into_dimensions().map_err(damaged)
}

fn check_file(bytes: &[u8]) -> Result<Format, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.len() > MAX_BYTES {
        return Err(ImageError::TooManyBytes { bytes: bytes.len() });
    }
    Format::sniff(bytes).ok_or(ImageError::UnknownFormat)
}

fn decode_with(mut decoder: impl ImageDecoder) -> Result<Decoded, ImageError> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > u64::from(MAX_PIXELS) {
        return Err(ImageError::TooLarge { width, height });
    }
    decoder.set_limits(decoder_limits()).map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let has_metadata = decoder.exif_metadata().map_err(damaged)?.is_some()
        || decoder.xmp_metadata().map_err(damaged)?.is_some()
        || decoder.iptc_metadata().map_err(damaged)?.is_some();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    Ok(Decoded { pixels: flatten(picture)?, has_metadata })
}

fn decoder_limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}

/// Puts a picture on white.
fn flatten(picture: DynamicImage) -> Result<Rgb8, ImageError> {
    let (width, height) = (picture.width(), picture.height());
    let data = if picture.color().has_alpha() {
        let on_white = |channel: u8, alpha: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(alpha));
            ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        picture.into_rgba8().pixels().flat_map(|p| [0, 1, 2].map(|c| on_white(p.0[c], p.0[3]))).collect()
    } else {
        picture.into_rgb8().into_raw()
    };
    Rgb8::new(width, height, data).map_err(|mismatch| ImageError::Damaged(mismatch.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn damaged(error: image::ImageError) -> ImageError {
    ImageError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, Rgba, RgbaImage};

    use super::*;
    use crate::images::folder::encode_png;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let data = vec![7; width as usize * height as usize * 3];
        encode_png(&Rgb8::new(width, height, data).unwrap()).unwrap()
    }

    /// A PNG whose header claims another size, with the header's checksum made right.
    fn claim_size(mut bytes: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    #[test]
    fn one_pixel_is_a_picture() {
        assert_eq!(decode(&png(1, 1)).unwrap().pixels.data(), [7, 7, 7]);
    }

    #[test]
    fn other_things_are_refused_by_their_first_bytes() {
        assert_eq!(decode(b"").unwrap_err().code(), "image_empty");
        for bytes in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
            b"<!doctype html><p>",
            b"GIF89a",
            b"RIFF1234WAVE",
        ] {
            assert_eq!(decode(bytes).unwrap_err().code(), "image_format");
        }
    }

    #[test]
    fn a_huge_picture_is_refused_by_its_header() {
        let error = decode(&claim_size(png(1, 1), 30_000, 30_000)).unwrap_err();
        assert_eq!(error, ImageError::TooLarge { width: 30_000, height: 30_000 });
        assert!(matches!(decode(&claim_size(png(1, 1), 20_001, 1)), Err(ImageError::TooLarge { .. })));
    }

    #[test]
    fn a_truncated_file_is_damaged_wherever_it_ends() {
        let whole = png(40, 30);
        for length in 8..whole.len() - 12 {
            assert_eq!(decode(&whole[..length]).unwrap_err().code(), "image_damaged", "{length} bytes");
        }
    }

    #[test]
    fn transparency_shows_white() {
        let mut picture = RgbaImage::from_pixel(2, 1, Rgba([0, 0, 0, 0]));
        picture.put_pixel(1, 0, Rgba([0, 100, 200, 255]));
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.write_image(picture.as_raw(), 2, 1, image::ExtendedColorType::Rgba8).unwrap();
        assert_eq!(decode(&bytes).unwrap().pixels.data(), [255, 255, 255, 0, 100, 200]);
    }

    /// The smallest EXIF block: little-endian TIFF with one entry, orientation 6 (turn right to see it upright).
    const TURN_RIGHT: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

    #[test]
    fn orientation_is_applied_and_metadata_noticed() {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100);
        encoder.set_exif_metadata(TURN_RIGHT.to_vec()).unwrap();
        let left_black = [[0; 3 * 8], [255; 3 * 8]].concat().repeat(16);
        encoder.write_image(&left_black, 16, 16, image::ExtendedColorType::Rgb8).unwrap();
        let decoded = decode(&bytes).unwrap();
        assert!(decoded.has_metadata);
        let pixels = decoded.pixels.data();
        assert!(pixels[..3 * 16].iter().all(|v| *v < 40), "what was left is on top");
        assert!(pixels[3 * 16 * 15..].iter().all(|v| *v > 215));
    }
}
