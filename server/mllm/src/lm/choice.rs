//! How the next token is chosen from its scores: the likeliest one, or a draw.
//!
//! `cuda/kernels/choose.cu` has the same, number for number: weights are integers, so that no sum depends on its order,
//! and what they are made from is rounded after each operation.

use super::tokens::TokenSet;

/// A choice among the tokens of a vocabulary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The tokens that may be taken; none for all.
    pub among: Option<TokenSet>,
    /// How it is drawn; none for the likeliest, of equals the first.
    pub draw: Option<Draw>,
}

/// A draw from the likeliest tokens whose weight together reaches a part of all; those that weigh as much as the last of
/// them are among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Divides the scores; above 0.
    pub temperature: f32,
    /// The part of all weight; 1 keeps all tokens.
    pub top_p: f32,
    /// What decides, in 0..1; tokens lie there in their order.
    pub uniform: f32,
}

impl Choice {
    /// The token; none where a score is not finite, whichever token's, or no token may be taken.
    #[must_use]
    pub fn of(&self, scores: &[f32]) -> Option<u32> {
        let best = greatest(scores, |index| self.among.as_ref().is_none_or(|set| set.has(index as u32)))?;
        let Some(draw) = self.draw else { return Some(best as u32) };
        let scale = draw.scale();
        let mut weights: Vec<u64> = scores.iter().map(|score| weight(*score, scores[best], scale)).collect();
        if let Some(set) = &self.among {
            let others = weights.iter_mut().enumerate().filter(|(index, _)| !set.has(*index as u32));
            others.for_each(|(_, weight)| *weight = 0);
        }
        Some(draw.from(&weights) as u32)
    }
}

impl Draw {
    /// What a distance of scores is multiplied with to be a power of two.
    pub(crate) fn scale(&self) -> f32 {
        (std::f32::consts::LOG2_E / self.temperature.max(f32::MIN_POSITIVE)).min(f32::MAX)
    }

    /// Draws from weights, of which one at least is not 0.
    fn from(&self, weights: &[u64]) -> usize {
        let total: u64 = weights.iter().sum();
        let wanted = ((f64::from(self.top_p) * total as f64).ceil() as u64).clamp(1, total);
        let (threshold, kept) = threshold(weights, total, wanted);
        let mut left = ((f64::from(self.uniform) * kept as f64) as u64).min(kept - 1);
        let hit = |(_, weight): &(usize, &u64)| {
            let is_hit = **weight >= threshold && left < **weight;
            left -= if **weight >= threshold && !is_hit { **weight } else { 0 };
            is_hit
        };
        weights.iter().enumerate().find(hit).map_or(0, |(index, _)| index)
    }
}

/// Powers of two from which on a weight is nothing.
const FINEST: f32 = -41.0;
/// 2^x in 0..1 is 1 + x · these; 2.3e-7 off at most.
const POWERS: [f32; 5] = [0.693_147_54, 0.240_207_2, 0.055_657_055, 0.009_199_387, 0.001_788_368_8];

/// 2^40 · 2^((score - best) · scale), the likeliest token's being 2^40.
fn weight(score: f32, best: f32, scale: f32) -> u64 {
    let power = ((score - best) * scale).max(FINEST);
    let whole = power.floor();
    let part = power - whole;
    let sum = POWERS.iter().rev().fold(0.0, |sum, factor| sum * part + factor);
    let mantissa = ((sum * part + 1.0) * (1 << 24) as f32) as u32;
    (u64::from(mantissa) << 16) >> (-whole) as u32
}

/// The greatest weight that is reached by tokens that together weigh `wanted`, and what they weigh.
fn threshold(weights: &[u64], total: u64, wanted: u64) -> (u64, u64) {
    if wanted == total {
        return (1, total);
    }
    // All tokens that are lighter than this weigh no more together than what may be left out.
    let lightest = (total - wanted) / weights.len() as u64 + 1;
    let mut rest: Vec<u64> = weights.iter().copied().filter(|weight| *weight >= lightest).collect();
    // What those weigh that are known to be above the threshold.
    let mut above = 0;
    while let Some(pivot) = rest.get(rest.len() / 2).copied() {
        let sum_from = |least: u64| {
            above + rest.iter().map(|weight| if *weight >= least { *weight } else { 0 }).sum::<u64>()
        };
        let [reached, before] = [pivot, pivot + 1].map(sum_from);
        if reached < wanted {
            above = reached;
            rest.retain(|weight| *weight < pivot);
        } else if before >= wanted {
            rest.retain(|weight| *weight > pivot);
        } else {
            return (pivot, reached);
        }
    }
    (1, total)
}

/// The first index with the greatest score among those that may be taken; nothing when there are none or any score is
/// not finite.
fn greatest(scores: &[f32], may: impl Fn(usize) -> bool) -> Option<usize> {
    if !scores.iter().fold(true, |finite, score| finite & score.is_finite()) {
        return None;
    }
    let mut best = None;
    for (index, score) in scores.iter().enumerate() {
        if best.is_none_or(|best| *score > scores[best]) && may(index) {
            best = Some(index);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weight of the likeliest token.
    const HEAVIEST: u64 = 1 << 40;

    fn likeliest(scores: &[f32]) -> Option<u32> {
        Choice::default().of(scores)
    }

    fn drawn(scores: &[f32], temperature: f32, top_p: f32, uniform: f32) -> u32 {
        Choice { among: None, draw: Some(Draw { temperature, top_p, uniform }) }.of(scores).unwrap()
    }

    /// How often each of three tokens is drawn with numbers that lie evenly in 0..1.
    fn counts(scores: &[f32; 3], temperature: f32, top_p: f32) -> [u32; 3] {
        let mut counts = [0; 3];
        for n in 0..1000 {
            counts[drawn(scores, temperature, top_p, n as f32 / 1000.0) as usize] += 1;
        }
        counts
    }

    fn close(counts: [u32; 3], expected: [u32; 3]) -> bool {
        counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) <= 1)
    }

    #[test]
    fn the_likeliest_is_the_first_of_equals() {
        assert_eq!(likeliest(&[0.0, 3.0, 3.0, -1.0]), Some(1));
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        assert_eq!(likeliest(&[0.0, f32::NAN]), None);
        assert_eq!(likeliest(&[0.0, f32::INFINITY]), None);
        assert_eq!(likeliest(&[0.0, f32::NEG_INFINITY]), None);
        assert_eq!(likeliest(&[]), None);
    }

    #[test]
    fn only_what_is_allowed_is_taken_though_all_have_to_be_finite() {
        let among = Some([1, 2].into_iter().collect::<TokenSet>());
        let choice = Choice { among: among.clone(), draw: None };
        assert_eq!(choice.of(&[9.0, 1.0, 2.0, 9.0]), Some(2));
        assert_eq!(choice.of(&[f32::NAN, 1.0, 2.0, 9.0]), None);
        assert_eq!(choice.of(&[9.0]), None);
        for n in 0..10 {
            let draw = Some(Draw { temperature: 1.0, top_p: 1.0, uniform: n as f32 / 10.0 });
            let id = Choice { among: among.clone(), draw }.of(&[9.0, 1.0, 1.0, 9.0]).unwrap();
            assert_eq!(id, if n < 5 { 1 } else { 2 });
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        assert!(close(counts(&scores, 1.0, 1.0), [500, 300, 200]));
        // Squares, brought back to a sum of 1.
        assert!(close(counts(&scores, 0.5, 1.0), [658, 237, 105]));
    }

    #[test]
    fn top_p_keeps_the_likeliest_only_and_their_equals() {
        let scores = [0.2f32.ln(), 0.5f32.ln(), 0.3f32.ln()];
        assert!(close(counts(&scores, 1.0, 0.6), [0, 625, 375]));
        assert!(close(counts(&scores, 1.0, 0.0), [0, 1000, 0]));
        assert!(close(counts(&[1.0, 2.0, 2.0], 1.0, 0.1), [0, 500, 500]));
    }

    #[test]
    fn a_temperature_near_zero_takes_the_likeliest() {
        assert!(close(counts(&[1.0, 1.1, -3e38], f32::MIN_POSITIVE, 1.0), [0, 1000, 0]));
        assert!(close(counts(&[0.0, -3e38, 3e38], 1.0, 1.0), [0, 0, 1000]));
    }

    #[test]
    fn the_threshold_is_that_of_sorted_weights() {
        let weights: Vec<u64> =
            (0..5000u64).map(|n| weight((n * n % 977) as f32 / 50.0, 976.0 / 50.0, 1.4)).collect();
        let total: u64 = weights.iter().sum();
        let mut sorted = weights.clone();
        sorted.sort_by(|a, b| b.cmp(a));
        for part in [0.001, 0.3, 0.9, 0.999] {
            let wanted = (total as f64 * part) as u64;
            let mut sum = 0;
            let last = sorted.iter().find(|weight| {
                sum += **weight;
                sum >= wanted
            });
            let last = *last.unwrap();
            let kept = sorted.iter().filter(|weight| **weight >= last).sum();
            assert_eq!(threshold(&weights, total, wanted), (last, kept), "{part}");
        }
    }

    #[test]
    fn weights_are_powers_of_two() {
        assert_eq!(weight(3.0, 3.0, 1.0), HEAVIEST);
        assert_eq!(weight(2.0, 3.0, 1.0), HEAVIEST / 2);
        assert_eq!(weight(-40.0, 0.0, 1.0), 1);
        assert_eq!(weight(-41.0, 0.0, 1.0), 0);
        for n in 0..1000 {
            let power = -f64::from(n) / 100.0;
            let got = weight(power as f32, 0.0, 1.0) as f64;
            assert!((got / (power.exp2() * HEAVIEST as f64) - 1.0).abs() < 2e-6, "{power}: {got}");
        }
    }
}
