//! Rounding of a group, by the search that ggml defines: of several spacings of the sixteen numbers, each with the
//! scale and the min that suit it best, the one that leaves the smallest error. Numbers are counted from the min of the
//! best one so far.

use super::GROUP;

/// The greatest number of four bits.
pub(super) const MOST: f32 = 15.0;
/// Spacings that are tried: 14 to 16 steps between the least and the greatest value.
const TRIES: usize = 21;
const STEPS_FROM: f32 = MOST - 1.0;
const STEPS_MORE: f32 = 0.1;

/// What a group's numbers n stand for: `scale * n - min`; neither is negative.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fit {
    pub(super) scale: f32,
    pub(super) min: f32,
}

type Group = [f32; GROUP];

/// The values of a group with how much an error in each of them counts.
struct Weighted<'a> {
    values: &'a Group,
    weights: Group,
    weight_sum: f32,
    value_sum: f32,
}

/// Fits a group of finite values.
pub(super) fn fit(values: &Group) -> Fit {
    // The min is not negative: 0 is always among the numbers' range.
    let least = values.iter().copied().fold(0.0, f32::min);
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if least >= greatest {
        return Fit { scale: 0.0, min: -least };
    }
    let group = Weighted::new(values);
    let mut best = Fit { scale: (greatest - least) / MOST, min: -least };
    let mut best_error = group.error(best, &numbers(values, best.min, MOST / (greatest - least)));
    for nth in 0..TRIES {
        let steps = STEPS_FROM + STEPS_MORE * nth as f32;
        let numbers = numbers(values, best.min, steps / (greatest + best.min));
        let Some(fit) = group.solve(&numbers) else { continue };
        let error = group.error(fit, &numbers);
        if error < best_error {
            (best, best_error) = (fit, error);
        }
    }
    best
}

fn numbers(values: &Group, min: f32, inverse: f32) -> Group {
    values.map(|value| (inverse * (value + min)).round_ties_even().clamp(0.0, MOST))
}

impl<'a> Weighted<'a> {
    /// Large values count more, small ones not nothing.
    fn new(values: &'a Group) -> Self {
        let size = (sum(values.map(|value| value * value)) / GROUP as f32).sqrt();
        let weights = values.map(|value| size + value.abs());
        let value_sum = sum(each(|at| weights[at] * values[at]));
        Self { values, weights, weight_sum: sum(weights), value_sum }
    }

    /// The scale and the min of least squares; none where all numbers are the same.
    fn solve(&self, numbers: &Group) -> Option<Fit> {
        let weighted = each(|at| self.weights[at] * numbers[at]);
        let number_sum = sum(weighted);
        let squares = sum(each(|at| weighted[at] * numbers[at]));
        let products = sum(each(|at| weighted[at] * self.values[at]));
        let determinant = self.weight_sum * squares - number_sum * number_sum;
        if determinant.is_nan() || determinant <= 0.0 {
            return None;
        }
        let least = (squares * self.value_sum - number_sum * products) / determinant;
        if least > 0.0 {
            return Some(Fit { scale: products / squares, min: 0.0 });
        }
        let scale = (self.weight_sum * products - self.value_sum * number_sum) / determinant;
        Some(Fit { scale, min: -least })
    }

    fn error(&self, fit: Fit, numbers: &Group) -> f32 {
        sum(each(|at| {
            let apart = fit.scale * numbers[at] - fit.min - self.values[at];
            self.weights[at] * apart * apart
        }))
    }
}

fn each(f: impl Fn(usize) -> f32) -> Group {
    std::array::from_fn(f)
}

/// Halves are added, so that all lanes of a register are at work.
fn sum(mut values: Group) -> f32 {
    let mut length = GROUP;
    while length > 1 {
        length /= 2;
        for at in 0..length {
            values[at] += values[at + length];
        }
    }
    values[0]
}
