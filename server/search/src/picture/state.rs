//! A picture put into a crop: where, in which light and how bent.

use super::planes::{Moments, Pyramid};
use super::pose::Pose;
use super::score::{distortion, explained};

/// Unknowns of a fit: six for the placement, then [`SOFT`] of light and bending.
pub(super) const UNKNOWNS: usize = AFFINE + SOFT;
/// Unknowns of the placement: shift along u, its change with u and v, the same along v.
pub(super) const AFFINE: usize = 6;
/// Unknowns of light (gain, its slopes along u and v, lightness) and of bending (amplitudes of [`waves`]).
pub(super) const SOFT: usize = 8;
/// Where bending begins among the soft unknowns.
const BEND: usize = 4;
/// How light and bending usually are: mean and standard deviation.
pub(super) const USUAL: [(f32, f32); SOFT] =
    [(0.9, 0.25), (0.0, 0.12), (0.0, 0.12), (0.0, 0.06), (0.0, 0.05), (0.0, 0.05), (0.0, 0.05), (0.0, 0.05)];
/// What a deviation from the usual costs in log-likelihood per pixel, per squared standard deviation.
const UNUSUAL_COST: f32 = 0.015;
/// What a sheared placement costs, per squared cosine of the angle between its sides.
const SHEAR_COST: f32 = 5.0;
/// Less of a picture than this inside the crop proves nothing.
const LEAST_INSIDE: f32 = 0.7;

/// One fit of a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) pose: Pose,
    /// Light and bending, as in [`USUAL`].
    pub(super) soft: [f32; SOFT],
}

/// What a crop shows where a picture is put.
pub(super) struct Seen {
    /// Mean squared difference over the samples inside the crop, summed over channels.
    pub(super) residual: f32,
    /// The part of the samples inside the crop.
    pub(super) inside: f32,
    /// The crop's own colours there.
    pub(super) moments: Moments,
}

impl State {
    /// A placement in the usual light, flat.
    pub(super) fn at(pose: Pose) -> Self {
        Self { pose, soft: USUAL.map(|(mean, _)| mean) }
    }

    /// Where the picture's (u, v) lies, given the waves at u.
    #[inline]
    pub(super) fn place(&self, u: f32, v: f32, waves: &[f32; 4]) -> (f32, f32) {
        let bend: f32 = waves.iter().zip(&self.soft[BEND..]).map(|(wave, amplitude)| wave * amplitude).sum();
        self.pose.at(u, v - bend)
    }

    /// The gain at (u, v).
    #[inline]
    pub(super) fn gain(&self, u: f32, v: f32) -> f32 {
        self.soft[0] + self.soft[1] * u + self.soft[2] * v
    }

    /// The lightness that is added.
    #[inline]
    pub(super) fn lightness(&self) -> f32 {
        self.soft[3]
    }

    /// Moves by a step of the normal equations, whose spatial part is in units of the picture times its gain.
    pub(super) fn moved(&self, step: &[f32; UNKNOWNS]) -> Self {
        let mut soft = self.soft;
        for (value, d) in soft[..BEND].iter_mut().zip(&step[AFFINE..]) {
            *value += d;
        }
        soft[0] = soft[0].clamp(0.3, 2.0);
        let gain = soft[0];
        for (value, d) in soft[BEND..].iter_mut().zip(&step[AFFINE + BEND..]) {
            *value += (d / gain).clamp(-0.1, 0.1);
        }
        let shift: [f32; AFFINE] = std::array::from_fn(|i| (step[i] / gain).clamp(-0.3, 0.3));
        Self { pose: self.pose.shifted(&shift), soft }
    }

    /// The gain in log-likelihood per pixel of the crop over one colour for everything, less what is unlikely about the
    /// fit; `None` when too little of the picture is inside.
    pub(super) fn score(&self, crop: &Pyramid, seen: &Seen, aspect: f32) -> Option<f32> {
        if seen.inside < LEAST_INSIDE {
            return None;
        }
        let plane = crop.finest();
        let area = self.pose.area() * seen.inside / (plane.width * plane.height) as f32;
        let gained = explained(&crop.whole, &seen.moments, area, seen.residual) * seen.inside;
        Some(gained - distortion(self.pose.aspect(crop.stretch()).log2() - aspect.log2()) - self.unusual())
    }

    fn unusual(&self) -> f32 {
        let deviations =
            self.soft.iter().zip(USUAL).map(|(value, (mean, deviation))| (value - mean) / deviation);
        let shear = self.pose.shear();
        UNUSUAL_COST * deviations.map(|z| z * z).sum::<f32>() + SHEAR_COST * shear * shear
    }
}

/// How far along v a bent picture is displaced at u, per unit of each amplitude: a slow and a fast wave in two phases.
pub(super) fn waves(u: f32) -> [f32; 4] {
    let (slow, fast) = (u * 0.75 * std::f32::consts::PI, u * 1.4 * std::f32::consts::PI);
    [slow.sin(), slow.cos(), fast.sin(), fast.cos()]
}
