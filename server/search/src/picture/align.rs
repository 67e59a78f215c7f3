//! Moving a picture into place: inverse-compositional least squares over an affine placement and a change of light.
//!
//! (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004.) The picture's own gradients make the normal equations, so an
//! iteration only samples the crop and multiplies.

use super::coarse::sample_level;
use super::planes::{CHANNELS, Pyramid};
use super::pose::Pose;
use super::score::{distortion, explained};
use super::thumbnail::Thumbnail;

/// Resolutions of the picture with the iterations at each.
const STAGES: [(usize, usize, usize); 2] = [(16, 12, 5), (32, 24, 6)];
/// Six for the placement, three for gain and its slope, one for lightness.
const UNKNOWNS: usize = 10;
/// Where the placement's unknowns end.
const AFFINE: usize = 6;
/// Residuals beyond this are something else in front of the picture and count no further.
const CLIP: f32 = 0.3;
/// Damping of the normal equations, relative to their diagonal.
const DAMPING: f32 = 1e-3;

/// A picture in its best place.
pub(super) struct Fit {
    /// [`explained`] less [`distortion`].
    pub(super) score: f32,
}

type Vector = [f32; UNKNOWNS];

/// Fits a picture from a first placement.
pub(super) fn align(crop: &Pyramid, thumbnail: &Thumbnail, from: Pose) -> Fit {
    let mut state = State { pose: from, light: Light { gain: [1.0, 0.0, 0.0], offset: 0.0 } };
    let mut fit = Fit { score: f32::NEG_INFINITY };
    for (width, height, iterations) in STAGES {
        let template = Template::of(thumbnail, width, height);
        let Some(normal) = template.normal() else {
            break;
        };
        for _ in 0..iterations {
            let (gradient, _) = template.compare(crop, &state);
            let step = normal.solve(&gradient);
            if !state.advance(&step) {
                break;
            }
        }
        let (_, residual) = template.compare(crop, &state);
        fit = Fit { score: residual.score(crop, &state.pose, thumbnail.aspect()) };
    }
    fit
}

struct State {
    pose: Pose,
    light: Light,
}

/// How a picture's values become the crop's: times a gain that varies over the picture, plus lightness.
struct Light {
    /// Constant, per u, per v.
    gain: [f32; 3],
    offset: f32,
}

impl State {
    /// Applies a step; `false` when the placement has gone astray or stands still.
    fn advance(&mut self, step: &Vector) -> bool {
        for (gain, d) in self.light.gain.iter_mut().zip(&step[AFFINE..]) {
            *gain += d;
        }
        self.light.gain[0] = self.light.gain[0].clamp(0.3, 2.0);
        self.light.offset += step[9];
        let gain = self.light.gain[0];
        let [t0, a, b, t1, c, d] = std::array::from_fn(|i| (step[i] / gain).clamp(-0.3, 0.3));
        let (a, d) = (1.0 + a, 1.0 + d);
        let determinant = a * d - b * c;
        if determinant < 0.2 {
            return false;
        }
        // The picture should move by the step, so the placement moves by its inverse.
        let (ia, ib, ic, id) = (d / determinant, -b / determinant, -c / determinant, a / determinant);
        let old = self.pose;
        let (x, y) = old.at(-(ia * t0 + ib * t1), -(ic * t0 + id * t1));
        let mixed = |right: f32, down: f32| {
            [old.right[0] * right + old.down[0] * down, old.right[1] * right + old.down[1] * down]
        };
        self.pose = Pose { centre: [x, y], right: mixed(ia, ic), down: mixed(ib, id) };
        step[..AFFINE].iter().any(|s| s.abs() > 1e-3)
    }
}

/// What is left of the crop after the picture.
struct Residual {
    /// Mean squared difference over the samples inside the crop.
    variance: f32,
    /// The part of the samples inside the crop.
    inside: f32,
}

impl Residual {
    fn score(&self, crop: &Pyramid, pose: &Pose, aspect: f32) -> f32 {
        let plane = crop.finest();
        let whole = (plane.width * plane.height) as f32;
        let area = (pose.area() * self.inside / whole).min(1.0);
        let (w, h) = pose.sides();
        let (w, h) = (w * crop.size.0 / plane.width as f32, h * crop.size.1 / plane.height as f32);
        explained(area, crop.spread(), self.variance) - distortion(aspect, w, h)
    }
}

/// A picture at one resolution with what its fit needs.
struct Template {
    width: usize,
    height: usize,
    values: Vec<[f32; CHANNELS]>,
    /// Derivatives by every unknown, one row of `width * height * CHANNELS` each.
    columns: [Vec<f32>; UNKNOWNS],
}

impl Template {
    fn of(thumbnail: &Thumbnail, width: usize, height: usize) -> Self {
        let values = thumbnail.plane(width, height).data;
        let mut columns: [Vec<f32>; UNKNOWNS] =
            std::array::from_fn(|_| Vec::with_capacity(values.len() * CHANNELS));
        for y in 0..height {
            for x in 0..width {
                let (u, v) = unit(x, y, width, height);
                let at = |x: usize, y: usize| values[y * width + x];
                let (left, right) = (at(x.saturating_sub(1), y), at((x + 1).min(width - 1), y));
                let (above, below) = (at(x, y.saturating_sub(1)), at(x, (y + 1).min(height - 1)));
                for c in 0..CHANNELS {
                    let du = (right[c] - left[c]) * width as f32 / 4.0;
                    let dv = (below[c] - above[c]) * height as f32 / 4.0;
                    let value = at(x, y)[c];
                    let lightness = if c == 0 { 1.0 } else { 0.0 };
                    let row =
                        [du, u * du, v * du, dv, u * dv, v * dv, value, u * value, v * value, lightness];
                    for (column, d) in columns.iter_mut().zip(row) {
                        column.push(d);
                    }
                }
            }
        }
        Self { width, height, values, columns }
    }

    /// The factored normal equations; `None` for a picture without structure.
    fn normal(&self) -> Option<Cholesky> {
        let mut matrix = [[0.0; UNKNOWNS]; UNKNOWNS];
        for i in 0..UNKNOWNS {
            for j in 0..=i {
                matrix[i][j] = dot(&self.columns[i], &self.columns[j]);
            }
        }
        Cholesky::of(matrix)
    }

    /// The gradient for the next step, and what remains.
    fn compare(&self, crop: &Pyramid, state: &State) -> (Vector, Residual) {
        let (w, h) = state.pose.sides();
        let (plane, scale) = crop.level((w / self.width as f32).min(h / self.height as f32));
        let (right, bottom) = (crop.finest().width as f32 - 0.5, crop.finest().height as f32 - 0.5);
        let mut differences = Vec::with_capacity(self.values.len() * CHANNELS);
        let (mut squares, mut inside) = (0.0f32, 0usize);
        for (i, value) in self.values.iter().enumerate() {
            let (u, v) = unit(i % self.width, i / self.width, self.width, self.height);
            let (x, y) = state.pose.at(u, v);
            if x < -0.5 || y < -0.5 || x > right || y > bottom {
                differences.extend([0.0; CHANNELS]);
                continue;
            }
            inside += 1;
            let seen = sample_level(plane, scale, x, y);
            let [g, gu, gv] = state.light.gain;
            let gain = g + gu * u + gv * v;
            for c in 0..CHANNELS {
                let offset = if c == 0 { state.light.offset } else { 0.0 };
                let difference = (seen[c] - gain * value[c] - offset).clamp(-CLIP, CLIP);
                squares += difference * difference;
                differences.push(difference);
            }
        }
        let gradient = std::array::from_fn(|i| dot(&self.columns[i], &differences));
        let residual = Residual {
            variance: squares / inside.max(1) as f32,
            inside: inside as f32 / self.values.len() as f32,
        };
        (gradient, residual)
    }
}

/// The centre of a cell in -1..1.
#[inline]
fn unit(x: usize, y: usize, width: usize, height: usize) -> (f32, f32) {
    ((2 * x + 1) as f32 / width as f32 - 1.0, (2 * y + 1) as f32 / height as f32 - 1.0)
}

/// A dot product in sixteen lanes; the lengths are multiples of sixteen.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for i in 0..16 {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum()
}

/// The lower factor of a positive definite matrix.
struct Cholesky([[f32; UNKNOWNS]; UNKNOWNS]);

impl Cholesky {
    fn of(mut matrix: [[f32; UNKNOWNS]; UNKNOWNS]) -> Option<Self> {
        let largest = (0..UNKNOWNS).map(|i| matrix[i][i]).fold(0.0, f32::max);
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] += DAMPING * row[i] + 1e-5 * largest;
        }
        let mut lower = [[0.0; UNKNOWNS]; UNKNOWNS];
        for i in 0..UNKNOWNS {
            for j in 0..=i {
                let sum: f32 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
                let rest = matrix[i][j] - sum;
                if i != j {
                    lower[i][j] = rest / lower[j][j];
                    continue;
                }
                if rest <= 0.0 {
                    return None;
                }
                lower[i][i] = rest.sqrt();
            }
        }
        Some(Self(lower))
    }

    fn solve(&self, right: &Vector) -> Vector {
        let lower = &self.0;
        let mut x = *right;
        for i in 0..UNKNOWNS {
            let sum: f32 = (0..i).map(|k| lower[i][k] * x[k]).sum();
            x[i] = (x[i] - sum) / lower[i][i];
        }
        for i in (0..UNKNOWNS).rev() {
            let sum: f32 = (i + 1..UNKNOWNS).map(|k| lower[k][i] * x[k]).sum();
            x[i] = (x[i] - sum) / lower[i][i];
        }
        x
    }
}
