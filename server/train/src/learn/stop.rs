//! When a session of training ends before its run does.

use std::time::{Duration, Instant};

/// When to stop before the run is complete: where the first line of the log ends after this, so that a run that goes on
/// from here has the lines that it would have had without a stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stop {
    /// After this time.
    pub after: Option<Duration>,
    /// After this many steps.
    pub steps: Option<u64>,
}

impl Stop {
    /// Whether a session that began then and has taken so many steps is to end.
    pub(crate) fn is_due(&self, started: Instant, steps: u64) -> bool {
        self.after.is_some_and(|limit| started.elapsed() >= limit) || self.steps.is_some_and(|n| steps >= n)
    }
}
