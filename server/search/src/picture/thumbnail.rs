//! What is stored of a picture: 64 x 48 pixels, whatever its shape, and its proportions.

use loupe_shared::pixels::Rgb8;

use super::planes::{CHANNELS, Plane};

/// Width of a thumbnail.
pub(super) const WIDTH: usize = 64;
/// Height of a thumbnail.
pub(super) const HEIGHT: usize = 48;
const PIXELS: usize = WIDTH * HEIGHT * 3;

/// A picture reduced to 64 x 48, with the proportions it had.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    bytes: Vec<u8>,
}

impl Thumbnail {
    /// Size of the stored form: RGB rows, then width divided by height as a little-endian f32.
    pub const BYTES: usize = PIXELS + 4;

    /// Reduces a picture.
    #[must_use]
    pub fn of(picture: &Rgb8) -> Self {
        let mut bytes = super::planes::area_average(picture, WIDTH, HEIGHT)
            .into_iter()
            .flatten()
            // Rounded means of 8-bit values are 8-bit values.
            .map(|mean| mean.round() as u8)
            .collect::<Vec<u8>>();
        bytes.extend((picture.width() as f32 / picture.height() as f32).to_le_bytes());
        Self { bytes }
    }

    /// Takes the stored form; `None` when it has another length or impossible proportions.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let thumbnail = Self { bytes: bytes.to_vec() };
        let usable = bytes.len() == Self::BYTES && thumbnail.aspect().is_normal() && thumbnail.aspect() > 0.0;
        usable.then_some(thumbnail)
    }

    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Width divided by height.
    #[must_use]
    pub fn aspect(&self) -> f32 {
        let tail = self.bytes.last_chunk::<4>().copied().unwrap_or_default();
        f32::from_le_bytes(tail)
    }

    /// Means of `width` x `height` cells, which have to divide the thumbnail evenly.
    pub(super) fn plane(&self, width: usize, height: usize) -> Plane {
        let (bw, bh) = (WIDTH / width, HEIGHT / height);
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                data.push(self.block(x * bw, y * bh, bw, bh));
            }
        }
        Plane { width, height, data }
    }

    fn block(&self, x0: usize, y0: usize, width: usize, height: usize) -> [f32; CHANNELS] {
        let mut rgb = [0.0f32; 3];
        for y in y0..y0 + height {
            for x in x0..x0 + width {
                for (c, sum) in rgb.iter_mut().enumerate() {
                    *sum += f32::from(self.bytes[(y * WIDTH + x) * 3 + c]);
                }
            }
        }
        super::planes::opponent(rgb.map(|sum| sum / (width * height) as f32))
    }
}
