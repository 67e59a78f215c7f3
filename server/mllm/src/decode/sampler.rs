//! What decides draws: a number for each token of a turn.

use crate::engine::Sampling;
use crate::lm::{Choice, Draw, TokenSet};

/// What the state goes on by.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// How a turn's tokens are chosen; the same seed gives the same numbers, whoever else is decoded meanwhile.
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

    /// How the token `ahead` tokens after the next one is chosen among some, or among all; the same until one is taken.
    pub(super) fn choice(&self, ahead: usize, among: Option<TokenSet>) -> Choice {
        let draw = match self.sampling {
            Sampling::Greedy => None,
            Sampling::Random { temperature, top_p, .. } => {
                Some(Draw { temperature, top_p, uniform: self.uniform(ahead) })
            }
        };
        Choice { among, draw }
    }

    /// Goes on to the next number, because a token was taken.
    pub(super) fn advance(&mut self) {
        self.state = self.state.wrapping_add(STEP);
    }

    /// A number in 0..1 (SplitMix64).
    fn uniform(&self, ahead: usize) -> f32 {
        let mut bits = self.state.wrapping_add(STEP.wrapping_mul(ahead as u64 + 1));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 24 bits fill an f32's mantissa exactly, so 1 is never reached.
        (bits >> 40) as f32 / (1u64 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let mut sampler = Sampler::new(Sampling::Random { temperature: 1.0, top_p: 1.0, seed: 7 });
        let mut counts = [0u32; 3];
        for _ in 0..10_000 {
            let [choice, next] = [0, 1].map(|ahead| sampler.choice(ahead, None));
            assert_eq!(choice, sampler.choice(0, None), "a step that is run again draws the same");
            counts[choice.of(&scores).unwrap() as usize] += 1;
            sampler.advance();
            assert_eq!(sampler.choice(0, None), next, "and one that guesses, too");
        }
        for (count, expected) in counts.iter().zip([5000, 3000, 2000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
    }

    #[test]
    fn greedy_turns_draw_nothing() {
        assert_eq!(Sampler::new(Sampling::Greedy).choice(0, None), Choice::default());
    }
}
