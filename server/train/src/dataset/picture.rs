//! Pictures of a data set: read as they come, kept once each as PNG under the hash of their pixels.

use std::io::Cursor;
use std::path::Path;

use image::imageops::overlay;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgba, RgbaImage};
use loupe_shared::pixels::{Rgb8, resize};

use super::DatasetError;
use super::beside::write;
use super::source::{BadRow, Picture};
use crate::atlas::files::png_bytes;

/// Most memory that decoding a picture may take.
const DECODER_BYTES: u64 = 1 << 30;
/// Hex digits of a picture's name.
const NAME: usize = 32;

/// A picture's pixels, upright, on white, and with at most `most` of them.
///
/// # Errors
/// [`BadRow`] when there is no such file, or it is no PNG, JPEG or WebP.
pub(super) fn read(picture: &Picture, most: u64) -> Result<Rgb8, BadRow> {
    let bytes = match picture {
        Picture::Bytes(bytes) => bytes,
        Picture::File(path) => &std::fs::read(path)
            .map_err(|error| BadRow::new("image", format!("{}: {error}", path.display())))?,
    };
    let decoded = decode(bytes).map_err(|error| BadRow::new("image", format!("cannot be read: {error}")))?;
    let (width, height) = (decoded.width(), decoded.height());
    let bad = |error: String| BadRow::new("image", error);
    let pixels = Rgb8::new(width, height, flat(decoded)).map_err(|error| bad(error.to_string()))?;
    let area = u64::from(width) * u64::from(height);
    if area <= most {
        return Ok(pixels);
    }
    let scale = (most as f64 / area as f64).sqrt();
    let shrunk = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    resize(&pixels, shrunk(width), shrunk(height)).map_err(|error| bad(error.to_string()))
}

fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// RGB bytes; what is transparent shows white.
fn flat(picture: DynamicImage) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let mut white = RgbaImage::from_pixel(picture.width(), picture.height(), Rgba([255; 4]));
    overlay(&mut white, &picture.into_rgba8(), 0, 0);
    DynamicImage::from(white).into_rgb8().into_raw()
}

/// Keeps a picture in a data set's folder; returns its path there.
///
/// # Errors
/// [`DatasetError::File`].
pub(super) fn keep(folder: &Path, pixels: &Rgb8) -> Result<String, DatasetError> {
    let mut hash = blake3::Hasher::new();
    hash.update(&pixels.width().to_le_bytes()).update(pixels.data());
    let hex = hash.finalize().to_hex();
    let name = format!("images/{}.png", hex.get(..NAME).unwrap_or_default());
    let path = folder.join(&name);
    if !path.is_file() {
        let bytes = png_bytes(pixels).map_err(super::beside::at(&path))?;
        write(&path, &bytes)?;
    }
    Ok(name)
}
