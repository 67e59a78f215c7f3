//! What the model's turns cost, summed over a run.

use std::time::{Duration, Instant};

use loupe_mllm::engine::Completion;
use loupe_shared::protocol::Usage;

/// Sums what turns cost.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    usage: Usage,
    decoding: Duration,
    /// Tokens after the first of each turn: the ones that `decoding` covers.
    timed_tokens: u32,
    first_token: Option<Duration>,
}

impl Meter {
    /// Adds a turn that was asked for at `asked`, in a run that began at `began`.
    pub(crate) fn add(&mut self, turn: &Completion, began: Instant, asked: Instant) {
        let usage = &mut self.usage;
        usage.prompt_tokens = usage.prompt_tokens.saturating_add(turn.prompt_tokens);
        usage.reused_tokens = usage.reused_tokens.saturating_add(turn.reused_tokens);
        usage.generated_tokens = usage.generated_tokens.saturating_add(turn.generated_tokens);
        if turn.generated_tokens == 0 {
            return;
        }
        self.decoding += turn.decoding;
        self.timed_tokens = self.timed_tokens.saturating_add(turn.generated_tokens - 1);
        self.first_token.get_or_insert(asked.duration_since(began) + turn.first_token);
    }

    /// Counts a search.
    pub(crate) fn add_search(&mut self) {
        self.usage.searches += 1;
    }

    /// What the run cost so far.
    pub(crate) fn usage(&self) -> Usage {
        let seconds = self.decoding.as_secs_f32();
        let speed = if seconds > 0.0 { self.timed_tokens as f32 / seconds } else { 0.0 };
        Usage {
            first_token_ms: milliseconds(self.first_token.unwrap_or_default()),
            tokens_per_second: speed,
            ..self.usage.clone()
        }
    }
}

/// Whole milliseconds, as events carry them.
pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use loupe_mllm::engine::Finish;

    use super::*;

    #[test]
    fn turns_add_up_and_the_first_token_is_the_first_turns() {
        let began = Instant::now();
        let turn = |tokens| Completion {
            reused_tokens: 60,
            generated_tokens: tokens,
            first_token: Duration::from_millis(40),
            decoding: Duration::from_millis(500),
            ..Completion::nothing(Finish::Stop, 100)
        };
        let mut meter = Meter::default();
        assert_eq!(meter.usage(), Usage::default());
        meter.add(&turn(11), began, began + Duration::from_millis(10));
        meter.add(&turn(11), began, began + Duration::from_secs(9));
        let usage = meter.usage();
        assert_eq!((usage.prompt_tokens, usage.reused_tokens, usage.generated_tokens), (200, 120, 22));
        assert_eq!(usage.first_token_ms, 50);
        assert!((usage.tokens_per_second - 20.0).abs() < 1e-3);
    }
}
