//! Cutting flags out of scenes, as loosely as people and small models frame them.

use loupe_shared::pixels::{PixelError, Rect, Region, Rgb8, crop};

use super::bounds::Bounds;
use super::rng::Rng;
use super::scene::SCENE_SIDE;

/// How far each edge of a frame may be off, as a part of the flag's size: a little inside or a bit outside.
const INSIDE: f64 = 0.05;
const OUTSIDE: f64 = 0.2;

/// The frame that somebody drags around something in a scene.
#[must_use]
pub fn loose_frame(bounds: &Bounds, rng: &mut Rng) -> Region {
    let side = f64::from(SCENE_SIDE);
    let mut span = |from: i32, to: i32| {
        let size = f64::from(to - from);
        let start = f64::from(from) - rng.uniform(-INSIDE, OUTSIDE) * size;
        let end = f64::from(to) + rng.uniform(-INSIDE, OUTSIDE) * size;
        let (start, end) = (libm::round(start).max(0.0), libm::round(end).min(side));
        (start / side, (end - start) / side)
    };
    let (x, w) = span(bounds.left, bounds.right);
    let (y, h) = span(bounds.top, bounds.bottom);
    Region::new(x, y, w, h).unwrap_or(Region::WHOLE)
}

/// The part of a picture that a region frames.
///
/// # Errors
/// [`PixelError`]; not for a region and a picture that were checked.
pub fn cut(picture: &Rgb8, region: &Region) -> Result<Rgb8, PixelError> {
    crop(picture, Rect::of_region(region, (picture.width(), picture.height()))?)
}
