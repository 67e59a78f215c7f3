//! A picture's size as its header says it, so that a huge picture is refused before it is decoded.

use super::problem::Problem;
use super::upload::{Format, sniff};

/// Width and height as stored; a turned photo has them the other way round when it is upright.
///
/// # Errors
/// A [`Problem`] for a file that is no picture or ends before its header does.
pub fn dimensions(file: &[u8]) -> Result<(u32, u32), Problem> {
    let size = match sniff(file)? {
        Format::Png => png(file),
        Format::Jpeg => jpeg(file),
        Format::WebP => webp(file),
    };
    size.filter(|(width, height)| *width > 0 && *height > 0).ok_or_else(damaged)
}

/// What a file is called that its decoder refuses.
#[must_use]
pub fn damaged() -> Problem {
    Problem::new(
        "image_damaged",
        "This picture is damaged or incomplete.",
        "Get it again from where it came, or take a screenshot of it and paste that.",
    )
}

/// The IHDR chunk comes first.
fn png(file: &[u8]) -> Option<(u32, u32)> {
    (file.get(12..16)? == b"IHDR").then_some(())?;
    Some((be32(file, 16)?, be32(file, 20)?))
}

/// The frame header is the first segment of the kinds C0 to CF that is not a table (C4, C8, CC).
fn jpeg(file: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while *file.get(at)? != 0xff {
            at += 1;
        }
        let kind = *file.get(at + 1)?;
        match kind {
            0xff => at += 1,
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                return Some((be16(file, at + 7)?, be16(file, at + 5)?));
            }
            _ => at += 2 + be16(file, at + 2)? as usize,
        }
    }
}

/// The first chunk is lossy, lossless or extended; each has its own header.
fn webp(file: &[u8]) -> Option<(u32, u32)> {
    match file.get(12..16)? {
        b"VP8 " => Some((le16(file, 26)? & 0x3fff, le16(file, 28)? & 0x3fff)),
        b"VP8L" => {
            let bits = le16(file, 21)? | le16(file, 23)? << 16;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => Some((le24(file, 24)? + 1, le24(file, 27)? + 1)),
        _ => None,
    }
}

fn byte(file: &[u8], at: usize) -> Option<u32> {
    file.get(at).map(|byte| u32::from(*byte))
}

fn be16(file: &[u8], at: usize) -> Option<u32> {
    Some(byte(file, at)? << 8 | byte(file, at + 1)?)
}

fn be32(file: &[u8], at: usize) -> Option<u32> {
    Some(be16(file, at)? << 16 | be16(file, at + 2)?)
}

fn le16(file: &[u8], at: usize) -> Option<u32> {
    Some(byte(file, at)? | byte(file, at + 1)? << 8)
}

fn le24(file: &[u8], at: usize) -> Option<u32> {
    Some(le16(file, at)? | byte(file, at + 2)? << 16)
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, ImageResult};

    use super::*;

    const PIXELS: [u8; 3 * 37 * 5] = [90; 3 * 37 * 5];

    /// Files that another library wrote.
    fn files() -> Vec<Vec<u8>> {
        type Write = fn(&mut Vec<u8>) -> ImageResult<()>;
        let writers: [Write; 3] = [
            |out| {
                image::codecs::png::PngEncoder::new(out).write_image(&PIXELS, 37, 5, ExtendedColorType::Rgb8)
            },
            |out| {
                image::codecs::jpeg::JpegEncoder::new(out).write_image(
                    &PIXELS,
                    37,
                    5,
                    ExtendedColorType::Rgb8,
                )
            },
            |out| {
                image::codecs::webp::WebPEncoder::new_lossless(out).write_image(
                    &PIXELS,
                    37,
                    5,
                    ExtendedColorType::Rgb8,
                )
            },
        ];
        let write = |writer: &Write| {
            let mut out = Vec::new();
            writer(&mut out).unwrap();
            out
        };
        writers.iter().map(write).collect()
    }

    #[test]
    fn each_format_says_its_size() {
        for file in files() {
            assert_eq!(dimensions(&file), Ok((37, 5)), "{:?}", sniff(&file));
        }
    }

    #[test]
    fn lossy_and_extended_webp_say_their_size() {
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x25\0\x05\0";
        assert_eq!(dimensions(lossy), Ok((37, 5)));
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x24\0\0\x04\0\0";
        assert_eq!(dimensions(extended), Ok((37, 5)));
    }

    #[test]
    fn a_header_that_ends_early_is_damaged() {
        for file in files() {
            for length in 12..24 {
                assert_eq!(dimensions(&file[..length]).unwrap_err().code, "image_damaged");
            }
        }
    }
}
