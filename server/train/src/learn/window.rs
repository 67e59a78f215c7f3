//! Steps gathered between two lines of the log.

use std::collections::BTreeMap;

use crate::learn::checkpoint::Progress;
use crate::learn::log::{KindLine, Line, Tally};
use crate::learn::step::StepReport;

/// Sums over some steps.
#[derive(Default)]
pub(crate) struct Window {
    steps: u64,
    tokens: u64,
    since: f64,
    loss: f64,
    dense: f64,
    dense_steps: u64,
    grad_norm: f64,
    kinds: BTreeMap<String, Tally>,
}

impl Window {
    /// A window that begins after so many seconds of training.
    pub(crate) fn since(seconds: f64) -> Self {
        Self { since: seconds, ..Self::default() }
    }

    /// Whether no step was taken since the line before.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Adds a step that read `tokens`.
    pub(crate) fn add(&mut self, report: &StepReport, tokens: u64) {
        self.steps += 1;
        self.tokens += tokens;
        self.loss += report.loss;
        self.dense += report.dense.unwrap_or(0.0);
        self.dense_steps += u64::from(report.dense.is_some());
        self.grad_norm += report.grad_norm;
        for (kind, tally) in &report.kinds {
            self.kinds.entry(kind.clone()).or_default().add(tally);
        }
    }

    /// The means over the window, for a run that is as far as `progress`.
    pub(crate) fn line(&self, progress: &Progress, rate: f64) -> Line {
        let steps = self.steps.max(1) as f64;
        Line {
            step: progress.step,
            tokens: progress.tokens,
            seconds: progress.seconds,
            loss: self.loss / steps,
            dense: (self.dense_steps > 0).then(|| self.dense / self.dense_steps as f64),
            dev: None,
            rate,
            grad_norm: self.grad_norm / steps,
            tokens_per_second: self.tokens as f64 / (progress.seconds - self.since).max(1e-9),
            kinds: self.kinds.iter().map(|(kind, tally)| (kind.clone(), KindLine::from(tally))).collect(),
        }
    }
}
