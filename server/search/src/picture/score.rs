//! How well a placed picture explains a crop.

use super::planes::Moments;

/// Noise that is always there, as a variance: it keeps perfect fits of small windows from winning by the logarithm alone.
const NOISE: f32 = 0.002;
/// How much it counts that window and surroundings differ in colour. At 1, plain pictures win on plain backgrounds; at 0,
/// parts of a picture win over the whole.
const SPLIT_WEIGHT: f32 = 0.35;
/// What each doubling or halving of a picture's proportions costs.
const ASPECT_COST: f32 = 0.9;

/// The gain in log-likelihood per pixel over explaining the whole crop by one colour, when a window of relative size
/// `area` is explained by a picture up to the variance `residual`, and the rest by one colour of its own. Of that gain,
/// what one colour for the window and one for the rest would reach without any picture counts only in part.
#[inline]
pub(super) fn explained(crop: &Moments, window: &Moments, area: f32, residual: f32) -> f32 {
    let area = area.min(1.0);
    let whole = crop.spread() + NOISE;
    let inside = window.spread().min(crop.spread()) + NOISE;
    let outside = crop.without(window, area).spread().min(crop.spread()) + NOISE;
    let by_picture = area * (inside / (residual + NOISE)).ln();
    let by_split = area * (whole / inside).ln() + (1.0 - area) * (whole / outside).ln();
    by_picture + SPLIT_WEIGHT * by_split
}

/// What it costs to show a picture with its proportions changed by `octaves`.
#[inline]
pub(super) fn distortion(octaves: f32) -> f32 {
    ASPECT_COST * octaves * octaves
}
