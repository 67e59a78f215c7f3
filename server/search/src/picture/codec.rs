//! Picture files to pixels, within limits.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use loupe_shared::pixels::Rgb8;

/// The longest side of a picture that is decoded, in pixels.
const LONGEST_SIDE: u32 = 16_384;
/// The most memory that decoding may take.
const MOST_BYTES: u64 = 512 << 20;

/// A file that is not a usable picture.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Neither PNG nor JPEG nor WebP, or damaged, or too large.
    #[error("it cannot be decoded as PNG, JPEG or WebP of at most 16384 pixels a side: {0}")]
    Format(#[from] image::ImageError),
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A picture without pixels.
    #[error("it has no pixels")]
    Empty,
}

/// Decodes a PNG, JPEG or WebP by its content, upright by its EXIF orientation, on white where it is transparent.
///
/// # Errors
/// [`DecodeError`] for anything else, and for pictures over 16384 pixels a side, which are refused by their header.
pub fn decode(bytes: &[u8]) -> Result<Rgb8, DecodeError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    Rgb8::new(width, height, on_white(picture)).map_err(|_mismatch| DecodeError::Empty)
}

fn on_white(picture: DynamicImage) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let mix = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        // At most 255, so nothing is lost.
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    picture.into_rgba8().pixels().flat_map(|p| [mix(p[0], p[3]), mix(p[1], p[3]), mix(p[2], p[3])]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32, rgba: [u8; 4]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::RgbaImage::from_pixel(width, height, image::Rgba(rgba));
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn transparent_is_white() {
        let picture = decode(&png(3, 2, [10, 200, 0, 0])).unwrap();
        assert_eq!((picture.width(), picture.height(), picture.data()[0]), (3, 2, 255));
        assert_eq!(decode(&png(1, 1, [10, 200, 0, 255])).unwrap().data(), [10, 200, 0]);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let whole = png(40, 40, [1, 2, 3, 255]);
        for bad in [&b"<svg/>"[..], b"", &whole[..whole.len() / 2]] {
            assert!(decode(bad).is_err());
        }
    }

    #[test]
    fn a_huge_picture_is_refused_by_its_header() {
        let mut bytes = png(1, 1, [0, 0, 0, 255]);
        // IHDR: width at 16, its checksum at 29.
        bytes[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        let error = decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("16384"), "{error}");
    }
}
