//! What a rollout is worth. The paper: 0.9 for a right answer and 0.1 for valid grammar.

use serde::{Deserialize, Serialize};

/// How rollouts are rewarded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// For a right answer.
    pub correct: f64,
    /// For a run whose every turn is of valid grammar and that ends with an answer.
    pub format: f64,
    /// The part of the reward for a right answer that is lost where anything was searched (MMSearch-R1: 0.1; the paper: 0).
    pub search_penalty: f64,
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self { correct: 0.9, format: 0.1, search_penalty: 0.0 }
    }
}

/// What is known of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the answer is right.
    pub right: bool,
    /// Whether every turn is of valid grammar and the last one answers.
    pub valid: bool,
    /// Whether anything was searched.
    pub searched: bool,
}

impl RewardConfig {
    /// The reward of a rollout.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> f64 {
        let kept = if outcome.searched { 1.0 - self.search_penalty } else { 1.0 };
        let correct = if outcome.right { self.correct * kept } else { 0.0 };
        correct + if outcome.valid { self.format } else { 0.0 }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let fits = [self.correct, self.format].iter().all(|part| part.is_finite() && *part >= 0.0);
        match fits && (0.0..=1.0).contains(&self.search_penalty) {
            true => Ok(()),
            false => Err("reward's parts have to be 0 or more, its search_penalty 0 to 1".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_those_of_the_paper() {
        let of = |config: RewardConfig, right, valid, searched| config.of(Outcome { right, valid, searched });
        let paper = RewardConfig::default();
        assert_eq!(of(paper, true, true, true), 1.0);
        assert_eq!(of(paper, true, false, false), 0.9);
        assert_eq!(of(paper, false, true, true), 0.1);
        assert_eq!(of(paper, false, false, false), 0.0);
        let stingy = RewardConfig { search_penalty: 0.1, ..paper };
        assert!((of(stingy, true, true, true) - 0.91).abs() < 1e-12);
        assert_eq!(of(stingy, true, true, false), 1.0);
    }
}
