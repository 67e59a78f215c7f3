//! Turning a picture upright as its EXIF orientation says.

use crate::pixels::Rgb8;
use crate::pixels::buffer::SizeMismatch;

/// How a picture lies in its file: EXIF's eight values as three steps, taken in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Swap rows and columns.
    transpose: bool,
    /// Then mirror left and right.
    flip_x: bool,
    /// Then mirror top and bottom.
    flip_y: bool,
}

impl Orientation {
    /// Reads the tag Orientation (0x0112) of the first directory of an EXIF block (a TIFF file). Nothing if the block
    /// is malformed or has none: a picture with bad metadata is still a picture.
    pub(super) fn from_exif(block: &[u8]) -> Option<Self> {
        // In a JPEG the block may still carry its marker.
        let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let is_little = match tiff.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let u16_at = |at: usize| {
            let pair = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
        };
        let u32_at = |at: usize| {
            let (a, b) = (u32::from(u16_at(at)?), u32::from(u16_at(at + 2)?));
            Some(if is_little { a | b << 16 } else { a << 16 | b })
        };
        let directory = u32_at(4)? as usize;
        let count = usize::from(u16_at(directory)?);
        let entry = (0..count).map(|i| directory + 2 + i * 12).find(|&at| u16_at(at) == Some(0x0112))?;
        Self::from_value(u16_at(entry + 8)?)
    }

    fn from_value(value: u16) -> Option<Self> {
        let (transpose, flip_x, flip_y) = match value {
            1 => (false, false, false),
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => return None,
        };
        Some(Self { transpose, flip_x, flip_y })
    }
}

/// The picture turned and mirrored.
pub(super) fn upright(picture: Rgb8, orientation: Orientation) -> Result<Rgb8, SizeMismatch> {
    if orientation == Orientation::default() {
        return Ok(picture);
    }
    let (from_width, from_height) = (picture.width() as usize, picture.height() as usize);
    let (width, height) =
        if orientation.transpose { (from_height, from_width) } else { (from_width, from_height) };
    let mut data = Vec::with_capacity(picture.data().len());
    for y in 0..height {
        let y = if orientation.flip_y { height - 1 - y } else { y };
        for x in 0..width {
            let x = if orientation.flip_x { width - 1 - x } else { x };
            let at = if orientation.transpose { x * from_width + y } else { y * from_width + x };
            data.extend_from_slice(&picture.data()[at * 3..at * 3 + 3]);
        }
    }
    Rgb8::new(width as u32, height as u32, data)
}
