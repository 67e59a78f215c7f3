//! How the next token is chosen.

use crate::engine::Sampling;
use crate::grammar::Allowed;

/// Chooses tokens; the same seed and scores give the same tokens.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    state: u64,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        let state = match sampling {
            Sampling::Greedy => 0,
            Sampling::Random { seed, .. } => seed,
        };
        Self { sampling, state }
    }

    /// The next token, one of the allowed ones; nothing when a score is not a number or infinite.
    pub(super) fn choose(&mut self, scores: &[f32], allowed: Option<&Allowed>) -> Option<u32> {
        let may = |index: usize| allowed.is_none_or(|allowed| allowed.has(index as u32));
        let best = greatest(scores, may)?;
        let Sampling::Random { temperature, top_p, .. } = self.sampling else {
            return Some(best as u32);
        };
        let weights: Vec<f32> = scores
            .iter()
            .enumerate()
            .map(|(index, score)| match may(index) {
                true => ((score - scores[best]) / temperature.max(f32::MIN_POSITIVE)).exp(),
                false => 0.0,
            })
            .collect();
        Some(self.draw(&weights, top_p) as u32)
    }

    /// Draws from the likeliest tokens whose weight together reaches `top_p` of all.
    fn draw(&mut self, weights: &[f32], top_p: f32) -> usize {
        let mut order: Vec<usize> = (0..weights.len()).filter(|index| weights[*index] > 0.0).collect();
        order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        let total: f32 = weights.iter().sum();
        let mut kept = 0.0;
        let count = order.iter().take_while(|index| {
            let wanted = kept < top_p * total;
            kept += weights[**index];
            wanted
        });
        let count = count.count().max(1);
        order.truncate(count);
        let kept: f32 = order.iter().map(|index| weights[*index]).sum();
        let mut left = self.uniform() * kept;
        for index in &order {
            left -= weights[*index];
            if left < 0.0 {
                return *index;
            }
        }
        order[order.len() - 1]
    }

    /// A number in 0..1 (SplitMix64).
    fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 24 bits fill an f32's mantissa exactly, so 1 is never reached.
        (bits >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// The first index with the greatest score among those that may be taken; nothing when there are none or any score is
/// not finite.
fn greatest(scores: &[f32], may: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best = None;
    for (index, score) in scores.iter().enumerate() {
        if !score.is_finite() {
            return None;
        }
        if best.is_none_or(|best| *score > scores[best]) && may(index) {
            best = Some(index);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(top_p: f32) -> Sampler {
        Sampler::new(Sampling::Random { temperature: 1.0, top_p, seed: 7 })
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(Sampler::new(Sampling::Greedy).choose(&[0.0, 3.0, 3.0, -1.0], None), Some(1));
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let mut sampler = Sampler::new(Sampling::Greedy);
        assert_eq!(sampler.choose(&[0.0, f32::NAN], None), None);
        assert_eq!(sampler.choose(&[0.0, f32::INFINITY], None), None);
        assert_eq!(sampler.choose(&[], None), None);
    }

    #[test]
    fn draws_follow_the_weights() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let mut sampler = random(1.0);
        let mut counts = [0u32; 3];
        for _ in 0..10_000 {
            counts[sampler.choose(&scores, None).unwrap() as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([5000, 3000, 2000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
    }

    #[test]
    fn top_p_keeps_the_likeliest_only() {
        let scores = [0.2f32.ln(), 0.5f32.ln(), 0.3f32.ln()];
        let mut sampler = random(0.6);
        let drawn: std::collections::BTreeSet<u32> =
            (0..1000).map(|_| sampler.choose(&scores, None).unwrap()).collect();
        assert_eq!(drawn, [1, 2].into());
        let mut sampler = random(0.0);
        assert_eq!(sampler.choose(&scores, None), Some(1));
    }
}
