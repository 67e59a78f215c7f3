//! What a run may spend, and what it has spent.

use std::time::{Duration, Instant};

/// What a run may spend. The model cannot talk its way past these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Tool calls of both kinds. The paper: 10.
    pub tool_calls: u32,
    /// Image searches. The paper: 1.
    pub image_searches: u32,
    /// Searches by words; as many as there are tool calls where nothing else is wanted.
    pub text_searches: u32,
    /// Tokens the model may write in one turn.
    pub turn_tokens: u32,
    /// Tokens the model may write in a run. The paper: 8,192.
    pub total_tokens: u32,
    /// How long a run may take before the model has to answer with what it has.
    pub wall_clock: Duration,
    /// How long that last answer may take on top.
    pub last_answer: Duration,
    /// How long one search may take.
    pub search: Duration,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            tool_calls: 10,
            image_searches: 3,
            text_searches: 10,
            turn_tokens: 1_024,
            total_tokens: 8_192,
            wall_clock: Duration::from_secs(180),
            last_answer: Duration::from_secs(60),
            search: Duration::from_secs(20),
        }
    }
}

/// Why a model may not search any more. Reads after "No more searching:" and after "although".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The workflow has no searches of the model's own.
    #[error("only an answer was asked for")]
    Workflow,
    /// All tool calls are used.
    #[error("all {0} searches are used")]
    ToolCalls(u32),
    /// All tokens are used.
    #[error("the {0} tokens of this run are used")]
    Tokens(u32),
    /// The time is over.
    #[error("the time of {} s is over", .0.as_secs())]
    Time(Duration),
    /// The model kept asking for what it may not do.
    #[error("the searches asked for are not allowed")]
    Refused,
    /// The conversation no longer fits the model.
    #[error("the conversation has grown too long for the model")]
    Context,
}

impl Limit {
    /// A stable code for events and error bodies.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Workflow => "no_answer",
            Self::ToolCalls(_) => "budget_tool_calls",
            Self::Tokens(_) => "budget_tokens",
            Self::Time(_) => "budget_time",
            Self::Refused => "budget_refused",
            Self::Context => "budget_context",
        }
    }
}

/// What a run has spent.
#[derive(Debug)]
pub(crate) struct Spending {
    budgets: Budgets,
    began: Instant,
    tool_calls: u32,
    image_searches: u32,
    text_searches: u32,
    tokens: u32,
}

/// The last answer gets this many tokens even when none are left.
const LAST_ANSWER_TOKENS: u32 = 256;

impl Spending {
    pub(crate) fn new(budgets: Budgets) -> Self {
        Self { budgets, began: Instant::now(), tool_calls: 0, image_searches: 0, text_searches: 0, tokens: 0 }
    }

    /// The first limit that is reached, if one is.
    pub(crate) fn reached(&self) -> Option<Limit> {
        let Budgets { tool_calls, total_tokens, wall_clock, .. } = self.budgets;
        if self.began.elapsed() >= wall_clock {
            return Some(Limit::Time(wall_clock));
        }
        if self.tokens >= total_tokens {
            return Some(Limit::Tokens(total_tokens));
        }
        (self.tool_calls >= tool_calls).then_some(Limit::ToolCalls(tool_calls))
    }

    /// Whether another image search is allowed.
    pub(crate) fn image_search_left(&self) -> bool {
        self.image_searches < self.budgets.image_searches
    }

    /// Whether another search by words is allowed.
    pub(crate) fn text_search_left(&self) -> bool {
        self.text_searches < self.budgets.text_searches
    }

    /// Most tokens of the next turn.
    pub(crate) fn turn_tokens(&self, last: bool) -> u32 {
        let left = self.budgets.total_tokens.saturating_sub(self.tokens);
        let least = if last { LAST_ANSWER_TOKENS } else { 1 };
        left.max(least).min(self.budgets.turn_tokens)
    }

    /// When the next turn has to be over.
    pub(crate) fn deadline(&self, last: bool) -> Instant {
        let extra = if last { self.budgets.last_answer } else { Duration::ZERO };
        let end = self.began + self.budgets.wall_clock + extra;
        // A last answer for another reason than time still gets its share.
        if last { end.max(Instant::now() + self.budgets.last_answer) } else { end }
    }

    /// How long one search may take.
    pub(crate) fn search_time(&self) -> Duration {
        self.budgets.search
    }

    /// When the run began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn add_tokens(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Counts a tool call; returns its number, from 1.
    pub(crate) fn add_tool_call(&mut self, by_picture: bool) -> u32 {
        self.tool_calls += 1;
        self.image_searches += u32::from(by_picture);
        self.text_searches += u32::from(!by_picture);
        self.tool_calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_reached_by_its_own_spending() {
        let budgets = Budgets { tool_calls: 2, image_searches: 1, total_tokens: 100, ..Budgets::default() };
        let mut spent = Spending::new(budgets);
        assert_eq!(spent.reached(), None);
        assert_eq!(spent.add_tool_call(true), 1);
        assert!(!spent.image_search_left());
        assert_eq!(spent.add_tool_call(false), 2);
        assert_eq!(spent.reached(), Some(Limit::ToolCalls(2)));
        spent.add_tokens(70);
        assert_eq!(spent.turn_tokens(false), 30);
        spent.add_tokens(u32::MAX);
        assert_eq!(spent.reached(), Some(Limit::Tokens(100)));
        assert_eq!(spent.turn_tokens(true), LAST_ANSWER_TOKENS);
        let no_time = Spending::new(Budgets { wall_clock: Duration::ZERO, ..budgets });
        assert_eq!(no_time.reached(), Some(Limit::Time(Duration::ZERO)));
    }
}
