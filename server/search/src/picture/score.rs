//! How well a placed picture explains a crop.

/// Noise that is always there, as a variance: it keeps perfect fits of small windows from winning by the logarithm alone.
pub(super) const NOISE: f32 = 0.004;
/// What each doubling or halving of a picture's proportions costs.
const ASPECT_COST: f32 = 0.6;

/// The gain in log-likelihood per pixel of the crop, over explaining all of it as its mean colour: pixels of the window
/// have the residual variance `residual`, all others keep `spread`. `area` is the window's part of the crop.
#[inline]
pub(super) fn explained(area: f32, spread: f32, residual: f32) -> f32 {
    area * ((spread + NOISE) / (residual + NOISE)).ln()
}

/// What it costs to show a picture of proportions `aspect` in a window of `width` x `height`.
#[inline]
pub(super) fn distortion(aspect: f32, width: f32, height: f32) -> f32 {
    let octaves = (width / height / aspect).log2();
    ASPECT_COST * octaves * octaves
}
