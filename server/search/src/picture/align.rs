//! Moving a picture into place: inverse-compositional least squares over a placement, a change of light and a bend.
//!
//! (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004.) The picture's own gradients make the normal equations, so an
//! iteration only samples the crop and multiplies. Steps that make the score worse are shortened.

use super::cholesky::Cholesky;
use super::planes::Pyramid;
use super::pose::Pose;
use super::state::{State, UNKNOWNS};
use super::template::Template;
use super::thumbnail::Thumbnail;

/// Resolution and iterations of the first fit.
const ROUGH: (usize, usize, usize) = (16, 12, 7);
/// Resolution and iterations of the last fit.
const FINE: (usize, usize, usize) = (32, 24, 6);
/// What remains of a step that went too far.
const SHORTER: f32 = 0.4;

/// A picture in its best place.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    /// [`State::score`].
    pub(super) score: f32,
    state: State,
}

/// Fits a picture roughly from several first placements and gives the best.
pub(super) fn rough(crop: &Pyramid, thumbnail: &Thumbnail, from: &[Pose]) -> Option<Fit> {
    let (width, height, iterations) = ROUGH;
    let template = Template::of(thumbnail, width, height);
    let normal = template.normal()?;
    let start = |pose: &Pose| template.lit(crop, &State::at(*pose));
    let fits = from
        .iter()
        .filter_map(|pose| settle(crop, &template, &normal, thumbnail.aspect(), start(pose), iterations));
    fits.max_by(|a, b| a.score.total_cmp(&b.score))
}

/// Fits a picture finely from where it is.
pub(super) fn fine(crop: &Pyramid, thumbnail: &Thumbnail, from: &Fit) -> Option<Fit> {
    let (width, height, iterations) = FINE;
    let template = Template::of(thumbnail, width, height);
    settle(crop, &template, &template.normal()?, thumbnail.aspect(), from.state, iterations)
}

/// The best state on the way; `None` when the first one already lies too far outside.
fn settle(
    crop: &Pyramid,
    template: &Template,
    normal: &Cholesky<UNKNOWNS>,
    aspect: f32,
    from: State,
    iterations: usize,
) -> Option<Fit> {
    let (gradient, seen) = template.compare(crop, &from);
    let mut best = Fit { score: from.score(crop, &seen, aspect)?, state: from };
    let mut step = normal.solve(&gradient);
    for _ in 0..iterations {
        let state = best.state.moved(&step);
        let (gradient, seen) = template.compare(crop, &state);
        match state.score(crop, &seen, aspect) {
            Some(score) if score > best.score => {
                best = Fit { score, state };
                step = normal.solve(&gradient);
            }
            _ => step.iter_mut().for_each(|value| *value *= SHORTER),
        }
    }
    Some(best)
}
