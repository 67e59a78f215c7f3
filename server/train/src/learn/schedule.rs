//! The learning rate over a run.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine down to the floor.
    Cosine,
    /// A straight line down to the floor.
    Linear,
    /// Constant, then a straight line over the last `tail` of the run (warm-up, stable, decay).
    Wsd,
}

/// The learning rate as a function of how much of the run is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The highest learning rate.
    pub peak: f64,
    /// Steps over which it rises from 0 to the peak.
    pub warmup_steps: u64,
    /// What comes after.
    pub decay: Decay,
    /// The last learning rate as a part of the peak.
    #[serde(default = "default_floor")]
    pub floor: f64,
    /// The part of the run over which `wsd` falls.
    #[serde(default = "default_tail")]
    pub tail: f64,
}

fn default_floor() -> f64 {
    0.05
}

fn default_tail() -> f64 {
    0.25
}

impl Schedule {
    /// Says what does not fit, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(self.peak > 0.0 && self.peak.is_finite()) {
            return Err("schedule.peak has to be above 0".into());
        }
        let parts = [("floor", self.floor), ("tail", self.tail)];
        match parts.into_iter().find(|(_, part)| !(0.0..=1.0).contains(part)) {
            Some((field, _)) => Err(format!("schedule.{field} has to be from 0 to 1")),
            None => Ok(()),
        }
    }

    /// The learning rate of `step` (from 0) when `progress` of the run, 0 to 1, is done.
    #[must_use]
    pub fn rate(&self, step: u64, progress: f64) -> f64 {
        let rise = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let progress = progress.clamp(0.0, 1.0);
        let part = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress)),
            Decay::Linear => 1.0 - progress,
            Decay::Wsd if self.tail > 0.0 => ((1.0 - progress) / self.tail).min(1.0),
            Decay::Wsd => 1.0,
        };
        self.peak * rise * (self.floor + (1.0 - self.floor) * part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule { peak: 1.0, warmup_steps: 10, decay, floor: 0.1, tail: 0.2 }
    }

    #[test]
    fn it_rises_to_the_peak_and_falls_to_the_floor() {
        for decay in [Decay::Cosine, Decay::Linear, Decay::Wsd] {
            let schedule = schedule(decay);
            assert!((schedule.rate(0, 0.0) - 0.1).abs() < 1e-9, "{decay:?}");
            assert!((schedule.rate(9, 0.0) - 1.0).abs() < 1e-9, "{decay:?}");
            assert!((schedule.rate(1000, 1.0) - 0.1).abs() < 1e-9, "{decay:?}");
        }
    }

    #[test]
    fn halfway_the_decays_differ() {
        assert!((schedule(Decay::Cosine).rate(500, 0.5) - 0.55).abs() < 1e-9);
        assert!((schedule(Decay::Linear).rate(500, 0.75) - 0.325).abs() < 1e-9);
        assert!((schedule(Decay::Wsd).rate(500, 0.79) - 1.0).abs() < 1e-9);
        assert!((schedule(Decay::Wsd).rate(500, 0.9) - 0.55).abs() < 1e-9);
    }
}
