//! What every dialect's parser hands out, and what can be wrong with a turn.

use super::action::{Action, Deed};

/// Turns the text of one assistant turn into actions while it is written.
///
/// The events do not depend on how the text is cut into deltas, except that neighbouring text deltas may be split
/// differently.
pub trait Parser: Send {
    /// Takes the next piece of text.
    fn push(&mut self, delta: &str) -> Vec<ParserEvent>;

    /// The turn is over: closes what is open. Call once, last.
    fn finish(&mut self) -> Vec<ParserEvent>;
}

/// Something the parser has understood.
#[derive(Debug, Clone, PartialEq)]
pub enum ParserEvent {
    /// More of the reasoning. All of a reason's deltas together are its [`Action::Reason`].
    ReasonDelta(String),
    /// More of the answer. All of them together are the [`Action::Answer`].
    AnswerDelta(String),
    /// An action is complete. At most one per turn is not a reason.
    ActionComplete(Action),
    /// The turn is not as the dialect wants it.
    Problem(Problem),
}

/// A turn that is not as the dialect wants it. Reads as the end of "Your last turn was not valid: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Repaired: the text is left out.
    #[error("there is text outside the tags")]
    TextOutside,
    /// Repaired: only the first action counts.
    #[error("there is text after the first action")]
    AfterAction,
    /// Repaired: the action counts all the same.
    #[error("there is no reasoning before the action")]
    NoReason,
    /// Repaired: a tag that does not belong there is left out.
    #[error("{0} does not belong there")]
    StrayTag(&'static str),
    /// Repaired: a reason or an answer ends where the next tag opens or the turn ends.
    #[error("{0} is not closed")]
    LeftOpen(&'static str),
    /// A search that is never closed may be half a query.
    #[error("{0} is not closed")]
    Unclosed(&'static str),
    /// A tag opens inside an action.
    #[error("{inner} stands inside {outer}")]
    Nested {
        /// The tag that was open.
        outer: &'static str,
        /// The tag inside it.
        inner: &'static str,
    },
    /// An action says nothing.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The model wrote a tool's result itself.
    #[error("only tools write {0}")]
    ForgedResult(&'static str),
    /// The arguments of a tool call cannot be read.
    #[error("the tool call cannot be read: {0}")]
    BadArguments(String),
    /// Neither a search nor an answer.
    #[error("there is neither a search nor an answer")]
    NoAction,
}

impl Problem {
    /// Whether the turn can be used all the same; else it is answered with a correction.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        matches!(
            self,
            Self::TextOutside | Self::AfterAction | Self::NoReason | Self::StrayTag(_) | Self::LeftOpen(_)
        )
    }
}

/// A whole turn, parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParsedTurn {
    /// What the model did, reasons included, in order.
    pub actions: Vec<Action>,
    /// What was not as the dialect wants it; a turn of valid grammar has none.
    pub problems: Vec<Problem>,
}

impl ParsedTurn {
    /// Parses a finished turn.
    #[must_use]
    pub fn parse(mut parser: Box<dyn Parser>, text: &str) -> Self {
        let mut turn = Self::default();
        turn.take(parser.push(text));
        turn.take(parser.finish());
        turn
    }

    /// Adds what a parser understood.
    pub fn take(&mut self, events: Vec<ParserEvent>) {
        for event in events {
            match event {
                ParserEvent::ActionComplete(action) => self.actions.push(action),
                ParserEvent::Problem(problem) => self.problems.push(problem),
                ParserEvent::ReasonDelta(_) | ParserEvent::AnswerDelta(_) => {}
            }
        }
    }

    /// The search or the answer, unless the turn has to be corrected.
    ///
    /// # Errors
    /// The first problem that was not repaired.
    pub fn deed(&self) -> Result<Deed, Problem> {
        if let Some(problem) = self.problems.iter().find(|problem| !problem.is_repaired()) {
            return Err(problem.clone());
        }
        self.actions.iter().find_map(Action::deed).ok_or(Problem::NoAction)
    }
}
