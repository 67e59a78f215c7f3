//! A picture made from an integer formula.
//!
//! Tests and benchmarks need sources of many megapixels that nobody has to store: the generator of the golden files
//! (`tests/golden/pixels/generate.py`) makes the same bytes from the same formula.

use super::buffer::Rgb8;
use super::error::{PixelError, check_size};

/// A picture whose 32-pixel tiles are in turn a ramp, noise, a hard checkerboard and one colour, so that a resize
/// meets smooth parts, overshoot on both ends and every rounding.
///
/// # Errors
/// [`PixelError::Size`] for a size that no picture may have.
pub fn pattern(width: u32, height: u32) -> Result<Rgb8, PixelError> {
    check_size(width, height)?;
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            data.extend((0..3).map(|colour| sample(x, y, colour)));
        }
    }
    Rgb8::new(width, height, data).map_err(|_mismatch| PixelError::Size { width, height })
}

/// One sample of the pattern.
fn sample(x: u32, y: u32, colour: u32) -> u8 {
    let (tile_x, tile_y) = (x >> 5, y >> 5);
    let value = match (tile_x + tile_y * 3) & 3 {
        0 => x * 5 + y * 3 + colour * 85,
        1 => scramble(x, y, colour),
        2 => ((x ^ y) & 1) * 255,
        _ => scramble(tile_x, tile_y, colour),
    };
    (value & 255) as u8
}

/// Mixes a place into 32 bits that look random.
fn scramble(x: u32, y: u32, colour: u32) -> u32 {
    let mixed = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77) ^ colour.wrapping_mul(0xC2B2_AE3D);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
    mixed ^ (mixed >> 12)
}
