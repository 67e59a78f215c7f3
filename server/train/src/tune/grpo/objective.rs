//! The loss of a token: PPO's clipped surrogate (Schulman et al. 2017) and the k3 estimate of the distance to the
//! reference (Schulman 2020).

use loupe_mllm::ops::Term;

/// Largest k3 distance of a token, as verl has it (`low_var_kl`): a token that the reference all but expects and the policy
/// all but excludes would otherwise outweigh everything else in a step. Beyond it there is no slope.
const FARTHEST: f32 = 10.0;
/// How many times its advantage a token costs at most where that is negative (dual-clip PPO, Ye et al. 2020; `clip_ratio_c`
/// in verl): PPO's clip has no bound there, and a token that has become e^6 times as likely would be all of a step.
const COSTLIEST: f32 = 3.0;

/// What the loss is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// How far a token's probability may move from what it was before the step counts no more.
    pub clip: f32,
    /// Weight of the distance to the reference.
    pub kl: f32,
}

/// A token that was generated. Surprises are -ln of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token {
    /// The advantage of its rollout.
    pub advantage: f32,
    /// Its surprise when it was generated; none where the weights have not moved since.
    pub before: Option<f32>,
    /// Its surprise under the reference.
    pub reference: f32,
}

/// A token's part of the loss, with what is logged of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// The loss and its slope by the token's surprise.
    pub term: Term,
    /// The k3 distance, at most [`FARTHEST`].
    pub kl: f32,
    /// Whether the surrogate is clipped, on either side, so that the token has no gradient but that of the distance.
    pub clipped: bool,
}

impl Objective {
    /// The loss of a token that now has `surprise`:
    /// `-min(r A, clamp(r, 1 - clip, 1 + clip) A) + kl min(e^d - d - 1, 10)`, the first at most `-3 A`, with `r = p / p_before` and
    /// `d = ln p_reference - ln p`.
    #[must_use]
    pub fn part(&self, token: &Token, surprise: f32) -> Part {
        let advantage = token.advantage;
        let ratio = (token.before.unwrap_or(surprise) - surprise).exp();
        let bounded = ratio.clamp(1.0 - self.clip, 1.0 + self.clip);
        let costliest = if advantage < 0.0 { COSTLIEST * advantage } else { f32::NEG_INFINITY };
        let surrogate = (ratio * advantage).min(bounded * advantage).max(costliest);
        let clipped = ratio * advantage > bounded * advantage || ratio * advantage < costliest;
        // d r / d surprise = -r.
        let surrogate_slope = if clipped { 0.0 } else { -ratio * advantage };
        let distance = surprise - token.reference;
        let kl = distance.exp() - distance - 1.0;
        let (kl, kl_slope) = if kl > FARTHEST { (FARTHEST, 0.0) } else { (kl, distance.exp() - 1.0) };
        let term = Term { value: self.kl * kl - surrogate, slope: self.kl * kl_slope - surrogate_slope };
        Part { term, kl, clipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Objective = Objective { clip: 0.2, kl: 0.1 };

    fn part(advantage: f32, before: f32, reference: f32, surprise: f32) -> Part {
        OBJECTIVE.part(&Token { advantage, before: Some(before), reference }, surprise)
    }

    #[test]
    fn a_token_whose_probability_has_not_moved_costs_minus_its_advantage() {
        let found = part(0.6, 1.5, 1.5, 1.5);
        assert_eq!((found.term.value, found.term.slope, found.kl, found.clipped), (-0.6, 0.6, 0.0, false));
        let fresh = OBJECTIVE.part(&Token { advantage: 0.6, before: None, reference: 1.5 }, 1.5);
        assert_eq!(fresh, found);
    }

    #[test]
    fn the_surrogate_is_clipped_only_where_it_would_gain() {
        // r = e^0.5 = 1.6487: with A > 0 the gain ends at 1.2 A, with A < 0 it is paid in full.
        let up = part(1.0, 1.0, 0.5, 0.5);
        assert!((up.term.value + 1.2).abs() < 1e-6 && up.term.slope == 0.0 && up.clipped);
        let down = part(-1.0, 1.0, 0.5, 0.5);
        assert!((down.term.value - 1.648_721).abs() < 1e-5 && !down.clipped);
        assert!((down.term.slope + 1.648_721).abs() < 1e-5);
        // r = e^-0.5 = 0.6065: the other way round.
        assert!(!part(1.0, 0.5, 1.0, 1.0).clipped && part(-1.0, 0.5, 1.0, 1.0).clipped);
    }

    #[test]
    fn what_has_become_much_likelier_and_was_wrong_costs_three_times_its_advantage() {
        // r = e^6 = 403.4 would cost 403.4, with as steep a slope.
        let found = part(-1.0, 7.0, 1.0, 1.0);
        assert_eq!((found.term.value, found.term.slope, found.clipped), (3.0, 0.0, true));
        assert!(!part(-1.0, 2.0, 1.0, 1.0).clipped, "e^1 is within it");
        assert_eq!(part(1.0, 7.0, 1.0, 1.0).term.value, -1.2, "where it was right the clip is that of PPO");
    }

    #[test]
    fn the_distance_is_k3_and_pulls_towards_the_reference() {
        // d = 1.2 - 1.0 = 0.2: e^0.2 - 0.2 - 1 = 0.0214028; slope 0.1 * (e^0.2 - 1) = 0.0221403.
        let found = part(0.0, 1.2, 1.0, 1.2);
        assert!((found.kl - 0.021_402_8).abs() < 1e-6 && (found.term.slope - 0.022_140_3).abs() < 1e-6);
        assert!(part(0.0, 0.8, 1.0, 0.8).term.slope < 0.0);
    }

    #[test]
    fn a_token_far_from_the_reference_counts_no_more_than_others() {
        // d = 12: e^12 - 13 = 162 742. d = -12: 11.
        for surprise in [13.0, -11.0] {
            let found = part(0.0, surprise, 1.0, surprise);
            assert_eq!((found.kl, found.term.slope), (FARTHEST, 0.0));
        }
        assert!(part(0.0, 3.5, 1.0, 3.5).kl < FARTHEST && part(0.0, 3.5, 1.0, 3.5).term.slope > 0.0);
    }

    #[test]
    fn slopes_are_those_of_the_values() {
        for advantage in [-0.7, 0.3] {
            for surprise in [0.2, 0.9, 1.05, 2.5] {
                let at = |surprise| part(advantage, 1.0, 1.3, surprise).term;
                let rise = (at(surprise + 1e-3).value - at(surprise - 1e-3).value) / 2e-3;
                assert!((rise - at(surprise).slope).abs() < 2e-3, "{advantage} {surprise}: {rise}");
            }
        }
    }
}
