//! Crops of pictures as a camera and a hasty box would give them, from a seed.

use loupe_shared::pixels::Rgb8;

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in `from..to`.
    pub(crate) fn within(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }

    fn normal(&mut self) -> f32 {
        let (a, b) = (self.within(1e-6, 1.0), self.within(0.0, std::f32::consts::TAU));
        (-2.0 * a.ln()).sqrt() * b.cos()
    }
}

/// How a crop was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Damage {
    /// Longest side of the picture in the crop, in pixels.
    pub(crate) size: u32,
    /// Degrees.
    pub(crate) tilt: f32,
    /// Amplitude as a fraction of the picture's height.
    pub(crate) wave: f32,
    /// Gaussian blur in pixels.
    pub(crate) blur: f32,
    /// Standard deviation, 0 to 255.
    pub(crate) noise: f32,
    /// Gain and its change from side to side.
    pub(crate) gain: [f32; 2],
    /// Exponent.
    pub(crate) gamma: f32,
    /// What the box adds (or cuts) at left, right, top and bottom, as a fraction of the right box's sides.
    pub(crate) margins: [f32; 4],
}

impl Damage {
    /// A crop by the right box.
    pub(crate) fn tight(random: &mut Random) -> Self {
        let size = random.within(48f32.ln(), 256f32.ln()).exp();
        Self {
            size: size as u32,
            tilt: random.within(-20.0, 20.0),
            wave: random.within(0.0, 0.05),
            blur: random.within(0.0, 0.5 + size / 128.0),
            noise: random.within(0.0, 18.0),
            gain: [random.within(0.55, 1.25), random.within(-0.3, 0.3)],
            gamma: random.within(0.7, 1.4),
            margins: [0.0; 4].map(|_: f32| random.within(-0.02, 0.04)),
        }
    }

    /// A crop by a box that overlaps the right one by 0.4 to 0.7 of their union.
    pub(crate) fn loose(random: &mut Random) -> Self {
        let damage = Self::tight(random);
        loop {
            let margins = [0.0; 4].map(|_: f32| random.within(-0.15, 0.45));
            let wrong = Self { margins, ..damage };
            if (0.4..0.7).contains(&wrong.overlap()) {
                return wrong;
            }
        }
    }

    /// Intersection over union of this box and the right one.
    pub(crate) fn overlap(&self) -> f32 {
        let [left, right, top, bottom] = self.margins;
        let area = (1.0 + left + right) * (1.0 + top + bottom);
        let common = (1.0 + left.min(0.0) + right.min(0.0)) * (1.0 + top.min(0.0) + bottom.min(0.0));
        common / (area + 1.0 - common)
    }
}

/// A crop of `picture` on a made-up background.
pub(crate) fn crop(picture: &Rgb8, damage: &Damage, random: &mut Random) -> Rgb8 {
    let aspect = picture.width() as f32 / picture.height() as f32;
    let width = damage.size as f32 * aspect.min(1.0);
    let height = width / aspect;
    let (sin, cos) = damage.tilt.to_radians().sin_cos();
    let box_width = width * cos + height * sin.abs();
    let box_height = width * sin.abs() + height * cos + 2.0 * damage.wave * height;
    let [left, right, top, bottom] = damage.margins;
    let out_width = ((1.0 + left + right) * box_width).round().max(8.0);
    let out_height = ((1.0 + top + bottom) * box_height).round().max(8.0);
    let centre = ((0.5 + left) * box_width, (0.5 + top) * box_height);
    let background = Background::new(random);
    let (waves, phase) = (random.within(0.5, 1.6), random.within(0.0, std::f32::consts::TAU));

    let mut rgb = Vec::with_capacity((out_width * out_height) as usize);
    for y in 0..out_height as usize {
        for x in 0..out_width as usize {
            let mut sum = [0.0f32; 3];
            for sub in 0..9 {
                let px = x as f32 + (sub % 3) as f32 / 3.0 + 1.0 / 6.0;
                let py = y as f32 + (sub / 3) as f32 / 3.0 + 1.0 / 6.0;
                let (dx, dy) = (px - centre.0, py - centre.1);
                let u = (dx * cos + dy * sin) / width + 0.5;
                let v = (dy * cos - dx * sin) / height + 0.5;
                let v = v + damage.wave * (std::f32::consts::TAU * waves * u + phase).sin();
                let inside = (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v);
                let colour = if inside {
                    lit(at(picture, u, v), u, damage)
                } else {
                    background.at(px / out_width, py / out_height)
                };
                for c in 0..3 {
                    sum[c] += colour[c] / 9.0;
                }
            }
            rgb.push(sum);
        }
    }
    let rgb = blurred(&rgb, out_width as usize, damage.blur);
    let noisy = |value: f32, random: &mut Random| {
        (value + damage.noise * random.normal()).round().clamp(0.0, 255.0) as u8
    };
    let data = rgb.iter().flatten().map(|&value| noisy(value, random)).collect();
    Rgb8::new(out_width as u32, out_height as u32, data).expect("sizes fit")
}

fn at(picture: &Rgb8, u: f32, v: f32) -> [f32; 3] {
    let x = ((u * picture.width() as f32) as usize).min(picture.width() as usize - 1);
    let y = ((v * picture.height() as f32) as usize).min(picture.height() as usize - 1);
    let i = (y * picture.width() as usize + x) * 3;
    std::array::from_fn(|c| f32::from(picture.data()[i + c]))
}

fn lit(rgb: [f32; 3], u: f32, damage: &Damage) -> [f32; 3] {
    let gain = damage.gain[0] * (1.0 + damage.gain[1] * (u - 0.5));
    rgb.map(|value| (255.0 * (value / 255.0).powf(damage.gamma) * gain).min(255.0))
}

/// A gradient between two colours, half the time with stripes or a ball in front.
struct Background {
    from: [f32; 3],
    to: [f32; 3],
    front: [f32; 3],
    kind: u64,
    place: [f32; 2],
}

impl Background {
    fn new(random: &mut Random) -> Self {
        let mut colour = || [0.0; 3].map(|_: f32| random.within(0.0, 255.0));
        let (from, to, front) = (colour(), colour(), colour());
        Self {
            from,
            to,
            front,
            kind: random.next() % 4,
            place: [random.within(0.0, 1.0), random.within(0.0, 1.0)],
        }
    }

    fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let in_front = match self.kind {
            0 => (x - self.place[0]).hypot(y - self.place[1]) < 0.3,
            1 => ((x + y * self.place[0]) * 8.0).fract() < 0.3,
            _ => false,
        };
        if in_front {
            return self.front;
        }
        std::array::from_fn(|c| {
            self.from[c] + (self.to[c] - self.from[c]) * (x * self.place[0] + y * (1.0 - self.place[0]))
        })
    }
}

fn blurred(rgb: &[[f32; 3]], width: usize, sigma: f32) -> Vec<[f32; 3]> {
    if sigma < 0.2 {
        return rgb.to_vec();
    }
    let height = rgb.len() / width;
    let reach = (sigma * 3.0).ceil() as isize;
    let weights: Vec<f32> =
        (-reach..=reach).map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let pass = |source: &[[f32; 3]], dx: isize, dy: isize| -> Vec<[f32; 3]> {
        let clamp = |value: isize, side: usize| value.clamp(0, side as isize - 1) as usize;
        (0..source.len())
            .map(|i| {
                let (x, y) = ((i % width) as isize, (i / width) as isize);
                let mut sum = [0.0; 3];
                for (d, weight) in (-reach..=reach).zip(&weights) {
                    let pixel = source[clamp(y + d * dy, height) * width + clamp(x + d * dx, width)];
                    for c in 0..3 {
                        sum[c] += weight / total * pixel[c];
                    }
                }
                sum
            })
            .collect()
    };
    pass(&pass(rgb, 1, 0), 0, 1)
}
