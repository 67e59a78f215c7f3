//! Pictures of a data set: read as they come, kept once each as PNG under the hash of their pixels.

use std::path::Path;

use loupe_search::picture::decode;
use loupe_shared::pixels::{Rgb8, resize};

use super::DatasetError;
use super::error::at;
use super::source::{BadRow, Picture};
use crate::atlas::files::png_bytes;
use crate::place::write;

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
    let pixels = decode(bytes).map_err(|error| BadRow::new("image", format!("cannot be used: {error}")))?;
    let (width, height) = (pixels.width(), pixels.height());
    let area = u64::from(width) * u64::from(height);
    if area <= most {
        return Ok(pixels);
    }
    let scale = (most as f64 / area as f64).sqrt();
    let shrunk = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    resize(&pixels, shrunk(width), shrunk(height)).map_err(|error| BadRow::new("image", error.to_string()))
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
        let bytes = png_bytes(pixels).map_err(at(&path))?;
        write(&path, &bytes)?;
    }
    Ok(name)
}
