//! Shares with their intervals.

use serde::{Deserialize, Serialize};

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Right ones.
    pub right: u64,
    /// All.
    pub all: u64,
}

/// The normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_964;

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.all += 1;
    }

    /// The share, 0 to 1; 0 of none.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.all == 0 { 0.0 } else { self.right as f64 / self.all as f64 }
    }

    /// Wilson's 95 % interval of the share; everything where nothing was counted.
    #[must_use]
    pub fn interval(&self) -> [f64; 2] {
        if self.all == 0 {
            return [0.0, 1.0];
        }
        let (n, p) = (self.all as f64, self.share());
        let spread = Z * ((p * (1.0 - p) + Z * Z / (4.0 * n)) / n).sqrt();
        let centre = p + Z * Z / (2.0 * n);
        let scale = 1.0 + Z * Z / n;
        [((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)]
    }
}

impl std::fmt::Display for Tally {
    /// `61.0 % (122 of 200; 54.1 to 67.5)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [low, high] = self.interval().map(|share| share * 100.0);
        write!(f, "{:.1} % ({} of {}; {low:.1} to {high:.1})", self.share() * 100.0, self.right, self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // SciPy 1.17.1: binomtest(122, 200).proportion_ci(method="wilson") and the same of 0 in 10.
        let [low, high] = Tally { right: 122, all: 200 }.interval();
        assert!((low - 0.540_937).abs() < 1e-6 && (high - 0.674_917).abs() < 1e-6, "{low} {high}");
        let [low, high] = Tally { right: 0, all: 10 }.interval();
        assert!(low == 0.0 && (high - 0.277_533).abs() < 1e-6, "{low} {high}");
        assert_eq!(Tally::default().interval(), [0.0, 1.0]);
    }
}
