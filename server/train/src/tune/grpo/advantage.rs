//! How much better a rollout did than the others of its group.

use serde::{Deserialize, Serialize};

/// Added to the deviation, as TRL does.
const EPSILON: f64 = 1e-4;

/// What advantages are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleBy {
    /// Nothing, as in the paper: R - mean(R).
    #[default]
    Nothing,
    /// The group's standard deviation (unbiased) plus 1e-4.
    Deviation,
}

/// The advantages of a group's rollouts: reward minus the group's mean, scaled. One alone has none.
#[must_use]
pub fn advantages(rewards: &[f64], by: ScaleBy) -> Vec<f64> {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count.max(1.0);
    let scale = match by {
        ScaleBy::Nothing => 1.0,
        ScaleBy::Deviation => {
            let squares: f64 = rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
            (squares / (count - 1.0).max(1.0)).sqrt() + EPSILON
        }
    };
    rewards.iter().map(|reward| (reward - mean) / scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_are_those_worked_out_by_hand() {
        // Mean 0.4; deviations squared 0.36 + 0.09 * 2 + 0.0 = 0.54 over 3, root 0.424264.
        let rewards = [1.0, 0.1, 0.1, 0.4];
        let plain = advantages(&rewards, ScaleBy::Nothing);
        let scaled = advantages(&rewards, ScaleBy::Deviation);
        for (got, wanted) in plain.iter().zip([0.6, -0.3, -0.3, 0.0]) {
            assert!((got - wanted).abs() < 1e-12);
        }
        for (got, wanted) in scaled.iter().zip([1.413_880_6, -0.706_940_3, -0.706_940_3, 0.0]) {
            assert!((got - wanted).abs() < 1e-6, "{got} {wanted}");
        }
    }

    #[test]
    fn groups_that_agree_and_groups_of_one_teach_nothing() {
        for by in [ScaleBy::Nothing, ScaleBy::Deviation] {
            assert_eq!(advantages(&[0.5; 8], by), [0.0; 8]);
            assert_eq!(advantages(&[0.9], by), [0.0]);
            assert!(advantages(&[], by).is_empty());
        }
    }
}
