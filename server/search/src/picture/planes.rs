//! A picture as lightness and two opponent colours, with smaller versions to sample from.

use loupe_shared::pixels::Rgb8;

/// Lightness, red against green, yellow against blue.
pub(super) const CHANNELS: usize = 3;
/// The longest side that is kept: more detail than thumbnails have is of no use.
const LONGEST_SIDE: usize = 192;

/// One resolution: `data[y * width + x]` holds the three channels of a pixel.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) data: Vec<[f32; CHANNELS]>,
}

/// A picture in halving resolutions, finest first.
pub(super) struct Pyramid {
    levels: Vec<Plane>,
    /// The colours of all of it.
    pub(super) whole: Moments,
    /// The picture's own proportions.
    aspect: f32,
}

/// Lightness 0..1 and two differences in -1..1, from 8-bit RGB.
pub(super) fn opponent(rgb: [f32; 3]) -> [f32; CHANNELS] {
    let [r, g, b] = rgb.map(|value| value / 255.0);
    [(r + g + b) / 3.0, r - g, (r + g) / 2.0 - b]
}

impl Plane {
    /// A picture scaled to `width` x `height` by averaging areas.
    pub(super) fn scaled(picture: &Rgb8, width: usize, height: usize) -> Self {
        let rgb = area_average(picture, width, height);
        Self { width, height, data: rgb.into_iter().map(opponent).collect() }
    }

    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            let (y0, y1) = (2 * y, (2 * y + 1).min(self.height - 1));
            for x in 0..width {
                let (x0, x1) = (2 * x, (2 * x + 1).min(self.width - 1));
                let at = |x: usize, y: usize| self.data[y * self.width + x];
                let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
                data.push(std::array::from_fn(|i| (a[i] + b[i] + c[i] + d[i]) / 4.0));
            }
        }
        Self { width, height, data }
    }

    /// The value between pixels at (x, y), where (0, 0) is the first pixel's centre; beyond the edge the edge goes on.
    #[inline]
    pub(super) fn sample(&self, x: f32, y: f32) -> [f32; CHANNELS] {
        let x = x.clamp(0.0, (self.width - 1) as f32);
        let y = y.clamp(0.0, (self.height - 1) as f32);
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let (top, bottom) = (y0 * self.width, y1 * self.width);
        let (a, b) = (self.data[top + x0], self.data[top + x1]);
        let (c, d) = (self.data[bottom + x0], self.data[bottom + x1]);
        std::array::from_fn(|i| {
            let upper = a[i] + (b[i] - a[i]) * fx;
            let lower = c[i] + (d[i] - c[i]) * fx;
            upper + (lower - upper) * fy
        })
    }
}

impl Pyramid {
    pub(super) fn of(picture: &Rgb8) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let longest = width.max(height);
        let shrink = |side: usize| (side * LONGEST_SIDE / longest.max(LONGEST_SIDE)).max(1);
        let mut levels = vec![Plane::scaled(picture, shrink(width), shrink(height))];
        while let Some(last) = levels.last()
            && last.width.min(last.height) > 4
        {
            levels.push(last.halved());
        }
        let whole = Moments::of(levels[0].data.iter());
        Self { levels, whole, aspect: width as f32 / height as f32 }
    }

    /// The finest level.
    pub(super) fn finest(&self) -> &Plane {
        &self.levels[0]
    }

    /// How much wider the finest level's proportions are than the picture's, by rounding.
    pub(super) fn stretch(&self) -> f32 {
        self.finest().width as f32 / self.finest().height as f32 / self.aspect
    }

    /// Whether a point of the finest level lies in the picture.
    #[inline]
    pub(super) fn contains(&self, x: f32, y: f32) -> bool {
        let plane = self.finest();
        x >= -0.5 && y >= -0.5 && x <= plane.width as f32 - 0.5 && y <= plane.height as f32 - 0.5
    }

    /// The level whose pixels are about `step` of the finest level's pixels wide, and how many of those one of its
    /// pixels spans.
    pub(super) fn level(&self, step: f32) -> (&Plane, f32) {
        let wanted = step.max(1.0).log2().round() as usize;
        let level = wanted.min(self.levels.len() - 1);
        (&self.levels[level], (1u32 << level) as f32)
    }
}

/// Sums over some pixels: what one colour leaves unexplained of them follows from these.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    /// Mean of each channel.
    pub(super) mean: [f32; CHANNELS],
    /// Mean of the sum of squares over channels.
    pub(super) square: f32,
}

impl Moments {
    pub(super) fn of<'a>(pixels: impl Iterator<Item = &'a [f32; CHANNELS]>) -> Self {
        let (mut mean, mut square, mut count) = ([0.0f32; CHANNELS], 0.0f32, 0usize);
        for pixel in pixels {
            count += 1;
            for c in 0..CHANNELS {
                mean[c] += pixel[c];
                square += pixel[c] * pixel[c];
            }
        }
        let count = count.max(1) as f32;
        Self { mean: mean.map(|sum| sum / count), square: square / count }
    }

    /// The variance around the mean colour, summed over channels.
    pub(super) fn spread(&self) -> f32 {
        (self.square - self.mean.iter().map(|m| m * m).sum::<f32>()).max(0.0)
    }

    /// What remains of the whole when a part of relative size `area` is taken out.
    pub(super) fn without(&self, part: &Self, area: f32) -> Self {
        let rest = (1.0 - area).max(0.02);
        Self {
            mean: std::array::from_fn(|c| (self.mean[c] - area * part.mean[c]) / rest),
            square: (self.square - area * part.square) / rest,
        }
    }
}

/// Mean colour of each target cell, every source pixel counting by how much of it lies in the cell.
pub(super) fn area_average(picture: &Rgb8, width: usize, height: usize) -> Vec<[f32; 3]> {
    let source_width = picture.width() as usize;
    let columns = shares(source_width, width);
    let rows = shares(picture.height() as usize, height);
    let mut out = Vec::with_capacity(width * height);
    for row in &rows {
        // Vertical first: one row of sums, then its cells.
        let mut sums = vec![[0.0f32; 3]; source_width];
        for (i, &weight) in row.weights.iter().enumerate() {
            let line = &picture.data()[(row.first + i) * source_width * 3..][..source_width * 3];
            for (sum, pixel) in sums.iter_mut().zip(line.chunks_exact(3)) {
                for c in 0..3 {
                    sum[c] += weight * f32::from(pixel[c]);
                }
            }
        }
        for column in &columns {
            let mut cell = [0.0f32; 3];
            for (i, &weight) in column.weights.iter().enumerate() {
                for c in 0..3 {
                    cell[c] += weight * sums[column.first + i][c];
                }
            }
            out.push(cell);
        }
    }
    out
}

/// Which source pixels make a target pixel, with weights that sum to 1.
struct Share {
    first: usize,
    weights: Vec<f32>,
}

fn shares(source: usize, target: usize) -> Vec<Share> {
    let scale = source as f64 / target as f64;
    (0..target)
        .map(|i| {
            let (from, to) = (i as f64 * scale, (i + 1) as f64 * scale);
            let first = (from.floor() as usize).min(source - 1);
            let last = ((to.ceil() as usize).max(first + 1)).min(source);
            let overlap = |p: usize| (to.min((p + 1) as f64) - from.max(p as f64)).max(0.0);
            let total: f64 = (first..last).map(overlap).sum();
            Share { first, weights: (first..last).map(|p| (overlap(p) / total) as f32).collect() }
        })
        .collect()
}

/// A dot product in sixteen lanes, which the compiler turns into vector code; lengths are multiples of sixteen.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for i in 0..16 {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_keep_the_mean() {
        let data: Vec<u8> = (0..7 * 5 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let mean = data.iter().map(|&v| f32::from(v)).sum::<f32>() / data.len() as f32;
        let picture = Rgb8::new(7, 5, data).unwrap();
        for (width, height) in [(7, 5), (3, 2), (1, 1), (14, 10)] {
            let cells = area_average(&picture, width, height);
            let got = cells.iter().flatten().sum::<f32>() / (cells.len() * 3) as f32;
            assert!((got - mean).abs() < 0.01, "{width} x {height}: {got} for {mean}");
        }
    }

    #[test]
    fn sampling_goes_between_pixels_and_stops_at_edges() {
        let picture = Rgb8::new(2, 1, vec![0, 0, 0, 255, 255, 255]).unwrap();
        let plane = Plane::scaled(&picture, 2, 1);
        let lightness = |x| plane.sample(x, 0.0)[0];
        assert_eq!([lightness(-3.0), lightness(0.5), lightness(9.0)], [0.0, 0.5, 1.0]);
    }
}
