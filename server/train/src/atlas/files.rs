//! Reading and writing files, with the path in every error.

use std::path::Path;

use image::{ImageFormat, RgbImage};
use loupe_shared::pixels::Rgb8;
use serde::{Deserialize, Serialize};

use super::AtlasError;

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> AtlasError + use<> {
    let path = path.to_owned();
    move |source| AtlasError::File { path, source }
}

/// A file's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, AtlasError> {
    std::fs::read(path).map_err(at(path))
}

/// A file's text.
pub(crate) fn read_text(path: &Path) -> Result<String, AtlasError> {
    std::fs::read_to_string(path).map_err(at(path))
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), AtlasError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    std::fs::write(path, bytes).map_err(at(path))
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), AtlasError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| at(path)(error.into()))?;
    json.push(b'\n');
    write(path, &json)
}

/// Reads an RGB picture.
pub(crate) fn read_png(path: &Path) -> Result<Rgb8, AtlasError> {
    let refuse = |reason: String| AtlasError::NotAnAtlas { path: path.to_owned(), reason };
    let decoded = image::load_from_memory_with_format(&read(path)?, ImageFormat::Png)
        .map_err(|error| refuse(error.to_string()))?
        .into_rgb8();
    let (width, height) = decoded.dimensions();
    Rgb8::new(width, height, decoded.into_raw()).map_err(|error| refuse(error.to_string()))
}

/// An RGB picture as the bytes of a PNG.
pub(crate) fn png_bytes(picture: &Rgb8) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let image = RgbImage::from_raw(picture.width(), picture.height(), picture.data().to_vec())
        .ok_or_else(|| std::io::Error::other("the picture's size does not fit its bytes"))?;
    image.write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// Writes an RGB picture.
pub(crate) fn write_png(path: &Path, picture: &Rgb8) -> Result<(), AtlasError> {
    write(path, &png_bytes(picture).map_err(at(path))?)
}

/// The version that an installed npm package says it has.
pub(crate) fn package_version(package: &Path) -> Result<String, AtlasError> {
    #[derive(Deserialize)]
    struct Manifest {
        version: String,
    }
    let path = package.join("package.json");
    let manifest: Manifest =
        serde_json::from_str(&read_text(&path)?).map_err(|error| at(&path)(error.into()))?;
    Ok(manifest.version)
}

/// Whether a folder holds nothing.
pub(crate) fn is_empty_folder(path: &Path) -> Result<bool, AtlasError> {
    Ok(std::fs::read_dir(path).map_err(at(path))?.next().is_none())
}
