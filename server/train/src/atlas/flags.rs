//! Flags: SVG to pixels, the test for flags that nobody can tell apart, and textures that scenes draw from.

use loupe_shared::pixels::Rgb8;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg;

use super::AtlasError;

/// Size of a flag's picture: 4:3, as large as a scene ever shows one.
pub const FLAG_WIDTH: u32 = 256;
/// Height of a flag's picture.
pub const FLAG_HEIGHT: u32 = 192;

/// Flags look the same when no part of them, an eighth across and a sixth down, differs by more than this (of 255): light
/// and blur change colours by as much. Romania's and Chad's differ by 26, the Netherlands' and Paraguay's (an emblem) by 31.
const SAME_UP_TO: u64 = 28;

/// Draws a flag from its SVG on white (Nepal's is not a rectangle), [`FLAG_WIDTH`] x [`FLAG_HEIGHT`].
///
/// # Errors
/// [`AtlasError::Flag`] when the bytes are not an SVG of a 4:3 flag.
pub fn rasterise(code: &str, svg: &[u8]) -> Result<Rgb8, AtlasError> {
    let refuse = |reason: String| AtlasError::Flag { code: code.to_owned(), reason };
    let tree =
        usvg::Tree::from_data(svg, &usvg::Options::default()).map_err(|error| refuse(error.to_string()))?;
    let mut pixmap = Pixmap::new(FLAG_WIDTH, FLAG_HEIGHT).ok_or_else(|| refuse("no memory".to_owned()))?;
    pixmap.fill(Color::WHITE);
    let scale = FLAG_WIDTH as f32 / tree.size().width();
    let drawn_height = tree.size().height() * scale;
    if (drawn_height - FLAG_HEIGHT as f32).abs() > 1.0 {
        return Err(refuse(format!("it is not 4:3 but {:?}", tree.size())));
    }
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    let rgb = pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    Rgb8::new(FLAG_WIDTH, FLAG_HEIGHT, rgb).map_err(|error| refuse(error.to_string()))
}

/// A flag at 1, 1/2, 1/4 and 1/8 of its size, so that small copies are sampled without flicker.
#[derive(Debug, Clone)]
pub struct Texture {
    levels: Vec<Level>,
}

/// One size of a texture.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) width: i32,
    pub(super) height: i32,
    rgb: Vec<u8>,
}

impl Texture {
    /// A texture of any picture.
    #[must_use]
    pub fn new(picture: &Rgb8) -> Self {
        let first = Level {
            width: picture.width() as i32,
            height: picture.height() as i32,
            rgb: picture.data().to_vec(),
        };
        let mut levels = vec![first];
        while levels.len() < 4 {
            let Some(half) = levels.last().and_then(Level::half) else { break };
            levels.push(half);
        }
        Self { levels }
    }

    /// The smallest level that has at least `width` columns.
    pub(super) fn level(&self, width: f64) -> &Level {
        let fits = self.levels.iter().rev().find(|level| f64::from(level.width) >= width * 0.9);
        fits.unwrap_or(&self.levels[0])
    }
}

impl Level {
    fn half(&self) -> Option<Self> {
        let (width, height) = (self.width / 2, self.height / 2);
        if width < 2 || height < 2 {
            return None;
        }
        let mut rgb = Vec::with_capacity((width * height * 3) as usize);
        for y in 0..height {
            for x in 0..width {
                for channel in 0..3 {
                    let at = |dx: i32, dy: i32| {
                        u32::from(self.rgb[((2 * y + dy) * self.width + 2 * x + dx) as usize * 3 + channel])
                    };
                    rgb.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
                }
            }
        }
        Some(Self { width, height, rgb })
    }

    /// The colour at (u, v) in 0..1, interpolated in 1/256 steps; the border goes on outside.
    pub(super) fn sample(&self, u: f64, v: f64) -> [i32; 3] {
        let fixed = |t: f64, size: i32| {
            let scaled = (t * f64::from(size) * 256.0) as i32 - 128;
            scaled.clamp(0, (size - 1) * 256)
        };
        let (x, y) = (fixed(u, self.width), fixed(v, self.height));
        let (x0, y0, fx, fy) = (x >> 8, y >> 8, x & 255, y & 255);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let row = |y: i32| y as usize * self.width as usize;
        let corners =
            [row(y0) + x0 as usize, row(y0) + x1 as usize, row(y1) + x0 as usize, row(y1) + x1 as usize];
        std::array::from_fn(|channel| {
            let at = |corner: usize| i32::from(self.rgb[corners[corner] * 3 + channel]);
            let top = at(0) * (256 - fx) + at(1) * fx;
            let bottom = at(2) * (256 - fx) + at(3) * fx;
            (top * (256 - fy) + bottom * fy + (1 << 15)) >> 16
        })
    }
}

/// Columns of a [`Thumb`], and parts of 8 columns in them.
const THUMB_WIDTH: usize = 64;
const THUMB_PARTS: usize = THUMB_WIDTH / 8;

/// A coarse picture for comparing flags, 64 x 48.
#[derive(Debug, Clone)]
pub struct Thumb(Vec<u8>);

impl Thumb {
    /// Of a flag's picture.
    #[must_use]
    pub fn new(picture: &Rgb8) -> Self {
        let texture = Texture::new(picture);
        Self(texture.level(THUMB_WIDTH as f64).rgb.clone())
    }

    /// Whether nobody could tell the two flags apart in a scene.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        let mut parts = [0u64; THUMB_PARTS * THUMB_PARTS];
        for (index, (a, b)) in self.0.iter().zip(&other.0).enumerate() {
            let (x, y) = (index / 3 % THUMB_WIDTH, index / 3 / THUMB_WIDTH);
            parts[y / 8 % THUMB_PARTS * THUMB_PARTS + x / 8] += u64::from(a.abs_diff(*b));
        }
        parts.iter().all(|difference| *difference <= SAME_UP_TO * 8 * 8 * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORWAY: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 480">
        <path fill="#ed2939" d="M0 0h640v480H0z"/><path fill="#fff" d="M180 0h120v480H180z"/></svg>"##;

    #[test]
    fn an_svg_becomes_pixels() {
        let flag = rasterise("no", NORWAY.as_bytes()).unwrap();
        assert_eq!((flag.width(), flag.height()), (256, 192));
        assert_eq!(&flag.data()[..3], &[0xed, 0x29, 0x39]);
        assert_eq!(&flag.data()[100 * 3..100 * 3 + 3], &[255, 255, 255]);
    }

    #[test]
    fn what_is_not_a_flag_is_refused_by_its_code() {
        let error = rasterise("xx", b"<html>").unwrap_err().to_string();
        assert!(error.contains("xx"), "{error}");
        let square = NORWAY.replace("0 0 640 480", "0 0 480 480");
        assert!(rasterise("no", square.as_bytes()).is_err());
    }

    #[test]
    fn samples_hit_the_colours_of_the_picture() {
        let flag = rasterise("no", NORWAY.as_bytes()).unwrap();
        let texture = Texture::new(&flag);
        for width in [256.0, 100.0, 40.0] {
            assert_eq!(texture.level(width).sample(0.1, 0.5), [0xed, 0x29, 0x39]);
            assert_eq!(texture.level(width).sample(0.375, 0.5), [255, 255, 255]);
        }
        assert!(Thumb::new(&flag).looks_like(&Thumb::new(&flag)));
    }
}
