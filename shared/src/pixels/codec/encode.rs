//! RGB to PNG.

use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use super::error::CodecError;
use crate::pixels::Rgb8;

/// The picture as PNG without metadata. The same pixels give the same bytes on every machine, so that one picture has
/// one content hash.
///
/// # Errors
/// [`CodecError::Encoding`] when the encoder refuses.
pub fn encode_png(picture: &Rgb8) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    let failed = |error: png::EncodingError| CodecError::Encoding(error.to_string());
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(picture.data()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
