//! How many tokens of prompts a step takes: as many as keep it short on this machine with this model, as measured.

/// Longest that a step should take which others write in, in seconds: a long prompt must not stall them.
const SHARED: f32 = 0.05;
/// Longest that a step should take where nobody waits for the next word, in seconds: bounds the wait of a short question
/// behind a long one.
const ALONE: f32 = 2.0;
/// Fewest tokens, of which all are multiples: the rows that matrix products take at a time. Half as many would not take
/// half the time.
pub(super) const LEAST: usize = 32;
/// Most tokens: more at once would not take less time for each, and bounds the memory of a step.
pub(crate) const MOST: usize = 512;
/// How much a step counts in the time of a token.
const STEP_WEIGHT: f32 = 0.5;

/// The time that a token of a prompt takes, as far as known.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seconds: Option<f32>,
}

impl Pace {
    /// Tokens of the next step; `shared` where somebody writes in it.
    pub(super) fn tokens(&self, shared: bool) -> usize {
        let wanted = if shared { SHARED } else { ALONE };
        // The first step measures; as short as can be, because the machine may be slow.
        let tokens = self.seconds.map_or(LEAST, |seconds| ((wanted / seconds) as usize).clamp(LEAST, MOST));
        tokens - tokens % LEAST
    }

    /// Notes a step. A small one says little of what a prompt takes.
    pub(super) fn note(&mut self, tokens: usize, seconds: f32) {
        if tokens < LEAST {
            return;
        }
        let token = (seconds / tokens as f32).max(f32::MIN_POSITIVE);
        self.seconds = Some(self.seconds.map_or(token, |known| known + STEP_WEIGHT * (token - known)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine where a step takes `step` seconds and each token `token` more, until the pace has settled.
    fn settled(step: f32, token: f32, shared: bool) -> usize {
        let mut pace = Pace::default();
        for _ in 0..20 {
            let tokens = pace.tokens(shared);
            pace.note(tokens, step + token * tokens as f32);
        }
        pace.tokens(shared)
    }

    #[test]
    fn a_fast_machine_takes_much_at_once_and_a_slow_one_little() {
        assert_eq!(settled(0.005, 0.000_02, true), MOST);
        assert_eq!([true, false].map(|shared| settled(0.2, 0.02, shared)), [LEAST, 64]);
        assert_eq!(settled(0.01, 0.000_35, true), 96, "what a twentieth of a second suffices for");
    }

    #[test]
    fn the_first_step_is_short_and_small_steps_do_not_count() {
        let mut pace = Pace::default();
        pace.note(LEAST - 1, 100.0);
        assert_eq!(pace.tokens(false), LEAST);
        pace.note(LEAST, 0.0);
        assert_eq!(pace.tokens(true), MOST);
    }
}
