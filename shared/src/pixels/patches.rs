//! The order in which the vision tower reads a picture.

use super::buffer::Rgb8;
use super::error::PixelError;

/// Side of a patch in pixels.
pub const PATCH: u32 = 14;

/// Patches per side that are merged into one token.
pub const MERGE: u32 = 2;

/// Side of a merged token in pixels.
const CELL: usize = (PATCH * MERGE) as usize;

/// Bytes of a patch: 3 colours x 14 x 14.
pub const PATCH_BYTES: usize = 3 * (PATCH * PATCH) as usize;

/// The picture's bytes in Qwen2.5-VL's patch order: `[grid_h * grid_w, 3 * 14 * 14]`, row-major.
///
/// Patches come in cells of 2 x 2, so the axes are (grid_h / 2, grid_w / 2, 2, 2, colour, 14, 14): transformers'
/// `patchify` before it repeats each patch over two frames.
///
/// # Errors
/// [`PixelError::NotWholePatches`] unless both sides are multiples of 28.
pub fn patches(picture: &Rgb8) -> Result<Vec<u8>, PixelError> {
    let (width, height) = (picture.width(), picture.height());
    if !(width as usize).is_multiple_of(CELL) || !(height as usize).is_multiple_of(CELL) {
        return Err(PixelError::NotWholePatches { width, height });
    }
    let mut out = Vec::with_capacity(picture.data().len());
    for cell_y in (0..height as usize).step_by(CELL) {
        for cell_x in (0..width as usize).step_by(CELL) {
            push_cell(picture, cell_x, cell_y, &mut out);
        }
    }
    Ok(out)
}

/// Appends the four patches of the cell whose corner is at (`x`, `y`).
fn push_cell(picture: &Rgb8, x: usize, y: usize, out: &mut Vec<u8>) {
    let side = PATCH as usize;
    for (down, right) in [(0, 0), (0, side), (side, 0), (side, side)] {
        push_patch(picture, x + right, y + down, out);
    }
}

/// Appends one patch, colour by colour.
fn push_patch(picture: &Rgb8, x: usize, y: usize, out: &mut Vec<u8>) {
    let (row_bytes, side) = (picture.width() as usize * 3, PATCH as usize);
    for colour in 0..3 {
        for row in picture.data().chunks_exact(row_bytes).skip(y).take(side) {
            out.extend(row[x * 3..(x + side) * 3].iter().skip(colour).step_by(3));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::pattern;

    #[test]
    fn sides_must_be_multiples_of_28() {
        for (width, height) in [(14, 28), (28, 27), (1, 1)] {
            let error = patches(&pattern(width, height).unwrap()).unwrap_err();
            assert_eq!(error, PixelError::NotWholePatches { width, height });
        }
    }

    #[test]
    fn the_second_patch_is_to_the_right_and_the_third_below() {
        let picture = pattern(56, 28).unwrap();
        let bytes = patches(&picture).unwrap();
        let red_at = |x: usize, y: usize| picture.data()[(y * 56 + x) * 3];
        let first_bytes: Vec<u8> = bytes.chunks_exact(PATCH_BYTES).map(|patch| patch[0]).collect();
        let corners = [(0, 0), (14, 0), (0, 14), (14, 14), (28, 0), (42, 0), (28, 14), (42, 14)];
        assert_eq!(first_bytes, corners.map(|(x, y)| red_at(x, y)));
    }
}
