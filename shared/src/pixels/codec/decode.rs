//! PNG, JPEG and WebP to upright RGB.

use std::io::Cursor;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::error::CodecError;
use super::orient::{Orientation, upright};
use super::samples::to_rgb;
use crate::pixels::Rgb8;

/// The formats that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP; of an animation, the first frame.
    WebP,
}

impl Format {
    /// The format that a file's first bytes say; its name and declared type are not asked.
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
}

/// The largest picture that is decoded, judged by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest side in pixels.
    pub max_side: u32,
    /// Most pixels in all.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_side: 20_000, max_pixels: 50_000_000 }
    }
}

impl Limits {
    fn check(self, width: u32, height: u32) -> Result<(), CodecError> {
        let Self { max_side, max_pixels } = self;
        if width.max(height) > max_side || u64::from(width) * u64::from(height) > max_pixels {
            return Err(CodecError::TooLarge { width, height, max_side, max_pixels });
        }
        Ok(())
    }
}

/// Samples as a decoder gives them, 8 bits each, and how the picture is to be turned.
struct Raw {
    width: u32,
    height: u32,
    channels: usize,
    samples: Vec<u8>,
    exif: Option<Vec<u8>>,
}

/// Decodes a file to upright 8-bit RGB.
///
/// Turned as EXIF says; colour profiles are ignored, as Pillow does; what is transparent shows white.
///
/// # Errors
/// [`CodecError::UnknownFormat`], [`CodecError::TooLarge`] before anything is decoded, [`CodecError::Damaged`].
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Rgb8, CodecError> {
    let raw = match Format::sniff(bytes).ok_or(CodecError::UnknownFormat)? {
        Format::Png => decode_png(bytes, limits)?,
        Format::Jpeg => decode_jpeg(bytes, limits)?,
        Format::WebP => decode_webp(bytes, limits)?,
    };
    let orientation = raw.exif.as_deref().and_then(Orientation::from_exif).unwrap_or_default();
    let picture = Rgb8::new(raw.width, raw.height, to_rgb(raw.samples, raw.channels)).map_err(damaged)?;
    upright(picture, orientation).map_err(damaged)
}

fn decode_png(bytes: &[u8], limits: Limits) -> Result<Raw, CodecError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = reader.info().size();
    limits.check(width, height)?;
    let size = reader.output_buffer_size().ok_or_else(|| damaged("its size overflows"))?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(damaged)?;
    samples.truncate(frame.buffer_size());
    let exif = reader.info().exif_metadata.as_ref().map(|chunk| chunk.to_vec());
    Ok(Raw { width, height, channels: frame.color_type.samples(), samples, exif })
}

fn decode_jpeg(bytes: &[u8], limits: Limits) -> Result<Raw, CodecError> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged("it has no size"))?;
    let (width, height) = (width as u32, height as u32);
    limits.check(width, height)?;
    let samples = decoder.decode().map_err(damaged)?;
    Ok(Raw { width, height, channels: 3, samples, exif: decoder.exif().cloned() })
}

fn decode_webp(bytes: &[u8], limits: Limits) -> Result<Raw, CodecError> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let size = decoder.output_buffer_size().ok_or_else(|| damaged("its size overflows"))?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples).map_err(damaged)?;
    let exif = decoder.exif_metadata().map_err(damaged)?;
    Ok(Raw { width, height, channels: if decoder.has_alpha() { 4 } else { 3 }, samples, exif })
}

fn damaged(error: impl ToString) -> CodecError {
    CodecError::Damaged(error.to_string())
}
