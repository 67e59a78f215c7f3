//! A picture at one resolution, with the normal equations of its fits.

use super::cholesky::Cholesky;
use super::coarse::sample_level;
use super::planes::{CHANNELS, Moments, Pyramid, dot};
use super::state::{AFFINE, SOFT, Seen, State, UNKNOWNS, USUAL, waves};
use super::thumbnail::Thumbnail;

/// Residuals beyond this are something else in front of the picture and count no further.
const CLIP: f32 = 0.3;
/// How much the usual counts against what is seen: the square of a typical residual over the samples that are independent.
const PRIOR: f32 = 0.01 / 20.0;
/// How far a placement may move in one step, as a standard deviation in the picture's -1..1: without it, pictures that
/// do not change along one direction drift in it.
const STEP: f32 = 0.15;

/// A picture's values and their derivatives.
pub(super) struct Template {
    width: usize,
    values: Vec<[f32; CHANNELS]>,
    /// (u, v) of each value.
    places: Vec<(f32, f32)>,
    /// [`waves`] at each column.
    waves: Vec<[f32; 4]>,
    /// Derivatives by every unknown, `values.len() * CHANNELS` each.
    columns: [Vec<f32>; UNKNOWNS],
}

impl Template {
    /// A thumbnail at `width` x `height`.
    pub(super) fn of(thumbnail: &Thumbnail, width: usize, height: usize) -> Self {
        let values = thumbnail.plane(width, height).data;
        let unit = |i: usize, side: usize| (2 * i + 1) as f32 / side as f32 - 1.0;
        let places: Vec<(f32, f32)> =
            (0..values.len()).map(|i| (unit(i % width, width), unit(i / width, height))).collect();
        let waves: Vec<[f32; 4]> = (0..width).map(|x| waves(unit(x, width))).collect();
        let mut columns = std::array::from_fn(|_| Vec::with_capacity(values.len() * CHANNELS));
        for (i, &(u, v)) in places.iter().enumerate() {
            let (x, y) = (i % width, i / width);
            let at = |x: usize, y: usize| values[y * width + x];
            let (left, right) = (at(x.saturating_sub(1), y), at((x + 1).min(width - 1), y));
            let (above, below) = (at(x, y.saturating_sub(1)), at(x, (y + 1).min(height - 1)));
            for c in 0..CHANNELS {
                let du = (right[c] - left[c]) * width as f32 / 4.0;
                let dv = (below[c] - above[c]) * height as f32 / 4.0;
                push(&mut columns, derivatives((u, v), du, dv, values[i][c], c == 0, &waves[x]));
            }
        }
        Self { width, values, places, waves, columns }
    }

    /// The factored normal equations, with what is usual in them.
    pub(super) fn normal(&self) -> Option<Cholesky<UNKNOWNS>> {
        let mut matrix = [[0.0; UNKNOWNS]; UNKNOWNS];
        for (i, row) in matrix.iter_mut().enumerate() {
            for (value, column) in row.iter_mut().zip(&self.columns[..=i]) {
                *value = dot(&self.columns[i], column);
            }
            let deviation = if i < AFFINE { STEP } else { USUAL[i - AFFINE].1 };
            row[i] += self.prior() / (deviation * deviation);
        }
        Cholesky::of(&matrix)
    }

    /// The right-hand side for the next step, and what the crop shows.
    pub(super) fn compare(&self, crop: &Pyramid, state: &State) -> ([f32; UNKNOWNS], Seen) {
        let (differences, seen) = self.differences(crop, state);
        let mut gradient: [f32; UNKNOWNS] = std::array::from_fn(|i| dot(&self.columns[i], &differences));
        for i in 0..SOFT {
            let (mean, deviation) = USUAL[i];
            gradient[AFFINE + i] -= self.prior() * (state.soft[i] - mean) / (deviation * deviation);
        }
        (gradient, seen)
    }

    /// The state with the gain and lightness that fit best where it is.
    pub(super) fn lit(&self, crop: &Pyramid, state: &State) -> State {
        let (differences, seen) = self.differences(crop, state);
        let own = Moments::of(self.values.iter());
        let (mut along, mut energy) = (0.0, self.prior() / (USUAL[0].1 * USUAL[0].1));
        for (value, difference) in self.values.iter().zip(differences.chunks_exact(CHANNELS)) {
            let centred = [value[0] - own.mean[0], value[1], value[2]];
            along += centred.iter().zip(difference).map(|(v, d)| v * d).sum::<f32>();
            energy += centred.iter().map(|v| v * v).sum::<f32>();
        }
        let mut lit = *state;
        lit.soft[0] = (state.soft[0] + along / energy).clamp(0.3, 2.0);
        lit.soft[3] = (seen.moments.mean[0] - lit.soft[0] * own.mean[0]).clamp(-0.15, 0.15);
        lit
    }

    /// What the crop has beyond the picture, sample by sample; nothing outside the crop.
    fn differences(&self, crop: &Pyramid, state: &State) -> (Vec<f32>, Seen) {
        let (w, h) = state.pose.sides();
        let rows = self.values.len() / self.width;
        let (plane, scale) = crop.level((w / self.width as f32).min(h / rows as f32));
        let mut differences = Vec::with_capacity(self.values.len() * CHANNELS);
        let mut colours = Vec::with_capacity(self.values.len());
        for (i, (value, &(u, v))) in self.values.iter().zip(&self.places).enumerate() {
            let (x, y) = state.place(u, v, &self.waves[i % self.width]);
            if !crop.contains(x, y) {
                differences.extend([0.0; CHANNELS]);
                continue;
            }
            let colour = sample_level(plane, scale, x, y);
            let gain = state.gain(u, v);
            for c in 0..CHANNELS {
                let expected = gain * value[c] + if c == 0 { state.lightness() } else { 0.0 };
                differences.push((colour[c] - expected).clamp(-CLIP, CLIP));
            }
            colours.push(colour);
        }
        let seen = Seen {
            residual: dot(&differences, &differences) / colours.len().max(1) as f32,
            inside: colours.len() as f32 / self.values.len() as f32,
            moments: Moments::of(colours.iter()),
        };
        (differences, seen)
    }

    fn prior(&self) -> f32 {
        PRIOR * self.values.len() as f32
    }
}

/// One value's derivatives by the unknowns, in the order of [`State`].
#[inline]
fn derivatives(
    (u, v): (f32, f32),
    du: f32,
    dv: f32,
    value: f32,
    is_lightness: bool,
    [a, b, c, d]: &[f32; 4],
) -> [f32; UNKNOWNS] {
    let lightness = if is_lightness { 1.0 } else { 0.0 };
    let affine = [du, u * du, v * du, dv, u * dv, v * dv];
    let soft = [value, u * value, v * value, lightness, a * dv, b * dv, c * dv, d * dv];
    std::array::from_fn(|i| if i < AFFINE { affine[i] } else { soft[i - AFFINE] })
}

fn push(columns: &mut [Vec<f32>; UNKNOWNS], row: [f32; UNKNOWNS]) {
    for (column, derivative) in columns.iter_mut().zip(row) {
        column.push(derivative);
    }
}
