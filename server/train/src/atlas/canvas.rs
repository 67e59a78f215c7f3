//! Pixels being painted: blending, blur, light and noise, all in integers so that every machine paints the same bytes.

use loupe_shared::pixels::Rgb8;

use super::rng::Rng;

/// A colour.
pub type Colour = [i32; 3];

/// A picture being painted.
#[derive(Debug, Clone)]
pub struct Canvas {
    width: i32,
    height: i32,
    rgb: Vec<u8>,
}

impl Canvas {
    /// A black canvas; each side at least 1.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Self {
            width: width as i32,
            height: height as i32,
            rgb: vec![0; width as usize * height as usize * 3],
        }
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> i32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> i32 {
        self.height
    }

    /// Paints every pixel.
    pub fn fill(&mut self, mut colour: impl FnMut(i32, i32) -> Colour) {
        let width = self.width;
        for (index, pixel) in self.rgb.chunks_exact_mut(3).enumerate() {
            let [r, g, b] = colour(index as i32 % width, index as i32 / width);
            pixel.copy_from_slice(&[byte(r), byte(g), byte(b)]);
        }
    }

    /// Lays a colour over a pixel; `cover` of 256 hides what was there. Outside the canvas nothing happens.
    pub fn blend(&mut self, x: i32, y: i32, colour: Colour, cover: i32) {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) as usize * 3;
        for (value, new) in self.rgb[at..at + 3].iter_mut().zip(colour) {
            *value = byte((i32::from(*value) * (256 - cover) + new * cover + 128) >> 8);
        }
    }

    /// Replaces every value by `table[value]`.
    pub fn map(&mut self, table: &[u8; 256]) {
        for value in &mut self.rgb {
            *value = table[usize::from(*value)];
        }
    }

    /// Blurs with weights 1, 2, 1 along both axes.
    pub fn blur(&mut self) {
        let row = self.width as usize * 3;
        let before = self.rgb.clone();
        for (line, old) in self.rgb.chunks_exact_mut(row).zip(before.chunks_exact(row)) {
            for at in 3..row.saturating_sub(3) {
                line[at] = smooth(old[at - 3], old[at], old[at + 3]);
            }
        }
        let before = self.rgb.clone();
        for at in row..self.rgb.len().saturating_sub(row) {
            self.rgb[at] = smooth(before[at - row], before[at], before[at + row]);
        }
    }

    /// Adds noise of at most `strength` to each value, drawn evenly.
    pub fn noise(&mut self, strength: i32, rng: &mut Rng) {
        let span = 2 * strength + 1;
        for values in self.rgb.chunks_mut(8) {
            let bits = rng.bits().to_le_bytes();
            for (value, bits) in values.iter_mut().zip(bits) {
                let offset = ((i32::from(bits) * span) >> 8) - strength;
                *value = byte(i32::from(*value) + offset);
            }
        }
    }

    /// The finished picture.
    #[must_use]
    pub fn finish(self) -> Rgb8 {
        let Self { width, height, rgb } = self;
        Rgb8::new(width as u32, height as u32, rgb)
            .unwrap_or_else(|_| unreachable!("a canvas keeps its size"))
    }
}

fn byte(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

fn smooth(a: u8, b: u8, c: u8) -> u8 {
    ((u16::from(a) + 2 * u16::from(b) + u16::from(c) + 2) >> 2) as u8
}

/// Scales a colour; `light` of 256 leaves it as it is.
#[must_use]
pub fn lit(colour: Colour, light: i32) -> Colour {
    colour.map(|value| (value * light) >> 8)
}

/// Between two colours; `t` of 0 gives the first, of 256 the second.
#[must_use]
pub fn between(a: Colour, b: Colour, t: i32) -> Colour {
    std::array::from_fn(|channel| a[channel] + (((b[channel] - a[channel]) * t) >> 8))
}
