//! A part of a picture in whole pixels.

use super::buffer::Rgb8;
use super::error::PixelError;
use super::region::Region;

/// A rectangle of whole pixels: at least one, none outside the picture it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Rect {
    /// A rectangle inside a picture of `picture` = (width, height).
    ///
    /// # Errors
    /// [`PixelError::Outside`] if it is empty or reaches over an edge.
    pub fn new(x: u32, y: u32, width: u32, height: u32, picture: (u32, u32)) -> Result<Self, PixelError> {
        let within = |start: u32, length: u32, side: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
        };
        if !(within(x, width, picture.0) && within(y, height, picture.1)) {
            let (picture_width, picture_height) = picture;
            return Err(PixelError::Outside { x, y, width, height, picture_width, picture_height });
        }
        Ok(Self { x, y, width, height })
    }

    /// The whole of a picture.
    #[must_use]
    pub fn whole(picture: &Rgb8) -> Self {
        Self { x: 0, y: 0, width: picture.width(), height: picture.height() }
    }

    /// The pixels that a region stands for in a picture of `picture` = (width, height), both at least 1.
    ///
    /// Each edge goes to the nearest pixel border (halves up), so that a region made from whole pixels comes back as
    /// these; a region between two borders becomes the one pixel that holds its near edge.
    ///
    /// # Errors
    /// [`PixelError::Size`] if the picture has a side of 0.
    pub fn of_region(region: &Region, picture: (u32, u32)) -> Result<Self, PixelError> {
        if picture.0 == 0 || picture.1 == 0 {
            return Err(PixelError::Size { width: picture.0, height: picture.1 });
        }
        let (x, width) = nearest_borders(region.x(), region.w(), picture.0);
        let (y, height) = nearest_borders(region.y(), region.h(), picture.1);
        Ok(Self { x, y, width, height })
    }

    /// Left edge.
    #[must_use]
    pub fn x(&self) -> u32 {
        self.x
    }

    /// Top edge.
    #[must_use]
    pub fn y(&self) -> u32 {
        self.y
    }

    /// Width, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Whether it lies inside a picture.
    #[must_use]
    pub fn fits(&self, picture: &Rgb8) -> bool {
        self.x + self.width <= picture.width() && self.y + self.height <= picture.height()
    }
}

/// Start and length in pixels of a fraction of a side.
fn nearest_borders(start: f64, length: f64, side: u32) -> (u32, u32) {
    let scale = f64::from(side);
    let first = (start * scale).round() as u32;
    let end = (((start + length) * scale).round() as u32).min(side);
    if end > first {
        return (first, end - first);
    }
    (((start * scale) as u32).min(side - 1), 1)
}

/// Cuts out a rectangle.
///
/// # Errors
/// [`PixelError::Outside`] if the rectangle was made for a larger picture.
pub fn crop(source: &Rgb8, rect: Rect) -> Result<Rgb8, PixelError> {
    let Rect { x, y, width, height } = rect;
    let outside = PixelError::Outside {
        x,
        y,
        width,
        height,
        picture_width: source.width(),
        picture_height: source.height(),
    };
    if !rect.fits(source) {
        return Err(outside);
    }
    let (first, bytes) = (x as usize * 3, width as usize * 3);
    let rows = source.data().chunks_exact(source.width() as usize * 3).skip(y as usize).take(height as usize);
    let data = rows.flat_map(|row| &row[first..first + bytes]).copied().collect();
    Rgb8::new(width, height, data).map_err(|_mismatch| outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::pattern;
    use proptest::prelude::*;

    #[test]
    fn a_region_thinner_than_a_pixel_is_one_pixel() {
        let sliver = Region::new(0.999, 0.5, 0.0001, 0.0001).unwrap();
        let rect = Rect::of_region(&sliver, (10, 10)).unwrap();
        assert_eq!((rect.x(), rect.y(), rect.width(), rect.height()), (9, 5, 1, 1));
    }

    #[test]
    fn rectangles_over_the_edge_are_refused() {
        for (x, y, w, h) in [(0, 0, 5, 4), (3, 0, 2, 1), (0, 0, 0, 1), (u32::MAX, 0, 2, 1)] {
            assert_eq!(Rect::new(x, y, w, h, (4, 4)).unwrap_err().code(), "crop_outside");
        }
        let large = Rect::new(0, 0, 9, 9, (9, 9)).unwrap();
        assert!(crop(&pattern(4, 4).unwrap(), large).is_err());
    }

    proptest! {
        #[test]
        fn whole_pixels_come_back(side in 1u32..9_000, a in 0f64..1.0, b in 0f64..1.0) {
            let x = (a * f64::from(side)) as u32;
            let width = 1 + (b * f64::from(side - x - 1)) as u32;
            let scale = f64::from(side);
            let region = Region::new(f64::from(x) / scale, 0.0, f64::from(width) / scale, 1.0).unwrap();
            let rect = Rect::of_region(&region, (side, 1)).unwrap();
            prop_assert_eq!((rect.x(), rect.width()), (x, width));
        }

        #[test]
        fn a_region_never_leaves_the_picture(
            side in 1u32..9_000, x in 0f64..1.0, w in 0.000_001f64..1.0,
        ) {
            let region = Region::new(x, 0.0, w.min(1.0 - x).max(f64::MIN_POSITIVE), 1.0).unwrap();
            let rect = Rect::of_region(&region, (side, 1)).unwrap();
            prop_assert!(rect.width() >= 1 && rect.x() + rect.width() <= side);
        }

        #[test]
        fn a_crop_holds_the_pixels_of_its_place(x in 0u32..9, y in 0u32..9, w in 1u32..9, h in 1u32..9) {
            let picture = pattern(18, 18).unwrap();
            let part = crop(&picture, Rect::new(x, y, w, h, (18, 18)).unwrap()).unwrap();
            for (i, rgb) in part.data().chunks_exact(3).enumerate() {
                let (px, py) = (x as usize + i % w as usize, y as usize + i / w as usize);
                prop_assert_eq!(rgb, &picture.data()[(py * 18 + px) * 3..][..3]);
            }
        }
    }
}
