//! Quantiles, and differences between two ways to answer the same questions.

use serde::{Deserialize, Serialize};

use crate::atlas::rng::Rng;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 4_000;
/// Seed of the bootstrap.
const SEED: u64 = 1;

/// How a number is spread over questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Sum over the count.
    pub mean: f64,
    /// Half are at most this.
    pub median: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
}

impl Spread {
    /// Of some numbers; zeros of none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let sum: u64 = values.iter().sum();
        let mean = sum as f64 / values.len().max(1) as f64;
        Self { mean, median: quantile(&values, 0.5), p95: quantile(&values, 0.95) }
    }
}

/// The quantile of sorted numbers, linear between neighbours; 0 of none.
fn quantile(sorted: &[u64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let (low, high) = (place.floor(), place.ceil());
    let [from, to] = [low, high].map(|at| sorted[at as usize] as f64);
    from + (to - from) * (place - low)
}

/// How two ways to answer the same questions differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Questions.
    pub questions: u64,
    /// Right in both.
    pub both: u64,
    /// Right only in the first.
    pub only_first: u64,
    /// Right only in the second.
    pub only_second: u64,
}

impl Paired {
    /// Counts a question.
    pub fn add(&mut self, first: bool, second: bool) {
        self.questions += 1;
        self.both += u64::from(first && second);
        self.only_first += u64::from(first && !second);
        self.only_second += u64::from(second && !first);
    }

    /// Share right in the first and in the second, 0 to 1.
    #[must_use]
    pub fn shares(&self) -> [f64; 2] {
        let all = self.questions.max(1) as f64;
        [self.only_first, self.only_second].map(|only| (self.both + only) as f64 / all)
    }

    /// The second's share minus the first's.
    #[must_use]
    pub fn difference(&self) -> f64 {
        let [first, second] = self.shares();
        second - first
    }

    /// A 95 % interval of the difference: percentiles of a bootstrap over questions, which are drawn in pairs.
    #[must_use]
    pub fn interval(&self) -> [f64; 2] {
        if self.questions == 0 {
            return [-1.0, 1.0];
        }
        let mut rng = Rng::of(SEED, "paired", self.questions);
        let mut differences: Vec<i64> = (0..RESAMPLES).map(|_| self.resampled(&mut rng)).collect();
        differences.sort_unstable();
        let at = |share: f64| {
            let place = (share * (RESAMPLES - 1) as f64).round() as usize;
            differences[place] as f64 / self.questions as f64
        };
        [at(0.025), at(0.975)]
    }

    /// Right ones more in the second than in the first, among as many questions drawn with repetition.
    fn resampled(&self, rng: &mut Rng) -> i64 {
        let all = usize::try_from(self.questions).unwrap_or(usize::MAX);
        let draws = (0..all).map(|_| {
            let drawn = rng.below(all) as u64;
            i64::from(drawn < self.only_second)
                - i64::from((self.only_second..self.only_second + self.only_first).contains(&drawn))
        });
        draws.sum()
    }

    /// The two-sided p-value of McNemar's exact test: how likely the questions that differ are to split at least this
    /// unevenly if neither way were better.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        let n = self.only_first + self.only_second;
        let fewer = self.only_first.min(self.only_second);
        // Terms C(n, k) / 2^n by logarithms, so that nothing overflows.
        let mut log_term = -(n as f64) * std::f64::consts::LN_2;
        let mut tail = log_term.exp();
        for k in 1..=fewer {
            log_term += ((n - k + 1) as f64).ln() - (k as f64).ln();
            tail += log_term.exp();
        }
        (2.0 * tail).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        // The 95th percentile lies at place 0.95 · 4 = 3.8: 4 + 0.8 · (10 - 4).
        let spread = Spread::of([10, 1, 3, 2, 4]);
        assert_eq!((spread.mean, spread.median), (4.0, 3.0));
        assert!((spread.p95 - 8.8).abs() < 1e-12, "{spread:?}");
        assert_eq!(Spread::of([]), Spread::default());
    }

    #[test]
    fn p_values_are_those_of_the_binomial() {
        let p =
            |only_first, only_second| Paired { questions: 100, both: 20, only_first, only_second }.p_value();
        // 2 · (1 + 20 + 190 + 1140 + 4845 + 15504) / 2^20
        assert!((p(5, 15) - 43_400.0 / 1_048_576.0).abs() < 1e-12, "{}", p(5, 15));
        assert!((p(3, 4) - 1.0).abs() < 1e-12 && (p(0, 0) - 1.0).abs() < 1e-12);
        assert!((p(0, 10) - 0.001_953_125).abs() < 1e-12);
    }

    #[test]
    fn the_bootstrap_agrees_with_the_normal_interval() {
        let paired = Paired { questions: 1_000, both: 500, only_first: 60, only_second: 140 };
        let [low, high] = paired.interval();
        // 0.08 ± 1.96 · sqrt((0.2 - 0.08²) / 1000)
        assert!((low - 0.0527).abs() < 0.004 && (high - 0.1073).abs() < 0.004, "{low} {high}");
        assert_eq!(Paired { only_first: 0, only_second: 0, ..paired }.interval(), [0.0, 0.0]);
    }
}
