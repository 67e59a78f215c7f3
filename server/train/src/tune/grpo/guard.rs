//! Signs that a policy is collapsing. A run that shows one ends with the reason, before more time is lost.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How far things may go. Each is held against the mean of the last [`GuardConfig::window`] steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// Steps of the mean.
    pub window: usize,
    /// How much farther from the reference (k3) the policy may be than in the first steps that it learnt from: an adapter
    /// that it starts from is away from it already.
    pub kl: f64,
    /// The part of the best mean reward that has to be kept.
    pub reward: f64,
    /// How many times longer than in the first steps rollouts may become.
    pub longer: f64,
    /// How many times shorter.
    pub shorter: f64,
    /// Least mean surprise of what was sampled, in nats: below it everything is said the same way.
    pub entropy: f64,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { window: 5, kl: 0.5, reward: 0.6, longer: 3.0, shorter: 3.0, entropy: 1e-3 }
    }
}

/// What a step showed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signs {
    /// Mean reward.
    pub reward: f64,
    /// Mean k3 distance per token; none where nothing was learnt from.
    pub kl: Option<f64>,
    /// Mean tokens written in a rollout.
    pub length: f64,
    /// Mean surprise per token, likewise.
    pub entropy: Option<f64>,
}

/// Watches the steps of a run.
#[derive(Debug, Clone)]
pub struct Guard {
    config: GuardConfig,
    last: VecDeque<Signs>,
    first_length: Option<f64>,
    first_kl: Option<f64>,
    best_reward: f64,
}

impl Guard {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(config: GuardConfig) -> Self {
        Self { config, last: VecDeque::new(), first_length: None, first_kl: None, best_reward: 0.0 }
    }

    /// Looks at a step; gives the reason to stop, if there is one.
    pub fn look(&mut self, signs: Signs) -> Option<String> {
        let window = self.config.window.max(1);
        self.last.push_back(signs);
        while self.last.len() > window {
            self.last.pop_front();
        }
        if self.last.len() < window {
            return None;
        }
        let mean = |of: fn(&Signs) -> Option<f64>| {
            let known: Vec<f64> = self.last.iter().filter_map(of).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let means = Signs {
            reward: mean(|signs| Some(signs.reward)).unwrap_or(0.0),
            kl: mean(|signs| signs.kl),
            length: mean(|signs| Some(signs.length)).unwrap_or(0.0),
            entropy: mean(|signs| signs.entropy),
        };
        self.first_length = self.first_length.or(Some(means.length));
        self.first_kl = self.first_kl.or(means.kl);
        self.best_reward = self.best_reward.max(means.reward);
        self.reason(means)
    }

    fn reason(&self, means: Signs) -> Option<String> {
        let Signs { reward, kl, length, entropy } = means;
        let config = &self.config;
        let (first_length, first_kl) = (self.first_length.unwrap_or(length), self.first_kl.unwrap_or(0.0));
        if let Some(kl) = kl.filter(|kl| is_above(kl - first_kl, config.kl)) {
            return Some(format!(
                "the policy is {kl:.3} from the reference, {first_kl:.3} in the beginning: more than {} farther",
                config.kl
            ));
        }
        if is_below(reward, config.reward * self.best_reward) {
            return Some(format!("the reward fell to {reward:.3} from {:.3}", self.best_reward));
        }
        if is_above(length, config.longer * first_length) || is_below(length * config.shorter, first_length) {
            return Some(format!("rollouts have {length:.0} tokens, {first_length:.0} in the beginning"));
        }
        if let Some(entropy) = entropy.filter(|entropy| is_below(*entropy, config.entropy)) {
            let least = config.entropy;
            return Some(format!("the surprise of a token fell to {entropy:.4} nats, less than {least}"));
        }
        None
    }
}

/// What is not a number is beyond every bound: it has to stop the run.
fn is_above(value: f64, most: f64) -> bool {
    value.is_nan() || value > most
}

fn is_below(value: f64, least: f64) -> bool {
    value.is_nan() || value < least
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Signs = Signs { reward: 0.8, kl: Some(0.01), length: 100.0, entropy: Some(0.2) };

    fn reason(then: Signs) -> Option<String> {
        let mut guard = Guard::new(GuardConfig { window: 2, ..GuardConfig::default() });
        assert_eq!([guard.look(FINE), guard.look(FINE)], [None, None]);
        guard.look(then).or_else(|| guard.look(then))
    }

    #[test]
    fn a_run_that_is_fine_goes_on_and_each_sign_of_collapse_ends_it() {
        assert_eq!(reason(FINE), None);
        assert_eq!(reason(Signs { kl: None, entropy: None, ..FINE }), None);
        for (signs, word) in [
            (Signs { kl: Some(2.0), ..FINE }, "reference"),
            (Signs { kl: Some(FINE.kl.unwrap_or(0.0) + 0.51), ..FINE }, "farther"),
            (Signs { kl: Some(f64::NAN), ..FINE }, "reference"),
            (Signs { reward: 0.1, ..FINE }, "reward"),
            (Signs { length: 900.0, ..FINE }, "tokens"),
            (Signs { length: 10.0, ..FINE }, "tokens"),
            (Signs { entropy: Some(1e-5), ..FINE }, "surprise"),
        ] {
            assert!(reason(signs).is_some_and(|reason| reason.contains(word)), "{signs:?}");
        }
    }

    #[test]
    fn a_policy_that_begins_far_from_the_reference_may_stay_there() {
        let far = Signs { kl: Some(3.4), ..FINE };
        let mut guard = Guard::new(GuardConfig { window: 1, ..GuardConfig::default() });
        assert_eq!([guard.look(far), guard.look(far)], [None, None]);
        assert!(guard.look(Signs { kl: Some(4.0), ..far }).is_some());
    }

    #[test]
    fn one_bad_step_is_not_a_collapse() {
        let mut guard = Guard::new(GuardConfig::default());
        for _ in 0..8 {
            assert_eq!(guard.look(FINE), None);
        }
        assert_eq!(guard.look(Signs { reward: 0.0, ..FINE }), None);
        assert_eq!(guard.look(FINE), None);
    }
}
