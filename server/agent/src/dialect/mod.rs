//! Dialects: how a checkpoint was taught to write what it does, and how turns are written to it.
//!
//! - [`action`]: what a model can do, in no dialect.
//! - [`parse`]: what a parser hands out, and what can be wrong with a turn.
//! - [`deepmm`]: DeepMMSearch-R1's tags and turn templates.
//! - [`tool_call`]: Qwen's JSON `<tool_call>` for instruct models that were not trained for this.
//! - [`grammar`]: what a turn may be, for decoding that is held to it.
//! - `bbox`: boxes as Qwen2.5-VL writes them.
//! - `lexer`: tags and text out of a stream.

pub mod action;
mod bbox;
pub mod deepmm;
pub mod grammar;
mod lexer;
pub mod parse;
pub mod tool_call;

use loupe_mllm::grammar::Grammar;
use loupe_shared::pixels::Region;

pub use action::{Action, Deed, GIVE_UP, ImageTarget, Search};
pub use bbox::BoxError;
pub use grammar::Choices;
pub use parse::{ParsedTurn, Parser, ParserEvent, Problem};

/// A picture's size as the model sees it, after `smart_resize`, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewSize {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// What a dialect has to know of a query to write its turns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryContext {
    /// The first picture's size as the model sees it; none for a question without pictures.
    pub view: Option<ViewSize>,
    /// Whether the user framed a part of it. The part is then the second picture, and what a search of the whole
    /// searches.
    pub framed: bool,
    /// BCP 47 tag of the language to answer in. The templates are English, so English needs no saying.
    pub lang: Option<String>,
}

/// What a model writes and is written to.
///
/// Text that comes from tools and users is made harmless here ([`crate::information::plain`]): it can neither open
/// nor close a tag.
pub trait Dialect: Send + Sync {
    /// Its name in `loupe.json`.
    fn name(&self) -> &'static str;

    /// The system message, where the dialect has one.
    fn system(&self, context: &QueryContext) -> Option<String>;

    /// The first user turn, after the pictures: the question and what can be done.
    fn initial_turn(&self, question: &str, context: &QueryContext) -> String;

    /// The user turn that brings what an image search found.
    fn after_image_search(&self, question: &str, information: &str) -> String;

    /// The user turn that brings what a text search found.
    fn after_text_search(&self, question: &str, information: &str) -> String;

    /// The user turn after a search that failed; `problem` is a sentence without its full stop.
    fn after_failure(&self, question: &str, problem: &str) -> String;

    /// The user turn after a turn that was not valid or not allowed; `problem` is a clause.
    fn correction(&self, question: &str, problem: &str) -> String;

    /// The user turn that allows nothing but an answer; `why` is a clause.
    fn must_answer(&self, question: &str, why: &str) -> String;

    /// The only user turn of the workflows without a choice: what was found (empty for `direct`) and the question.
    fn answer_only(&self, question: &str, information: &str, context: &QueryContext) -> String;

    /// An assistant turn that does `actions`; used for training and for the conversation so far.
    fn render(&self, actions: &[Action], context: &QueryContext) -> String;

    /// A parser for one assistant turn.
    fn parser(&self, context: &QueryContext) -> Box<dyn Parser>;

    /// Texts after which a turn is over.
    fn stop(&self) -> Vec<String>;

    /// What a turn with these choices may be.
    fn grammar(&self, choices: Choices, context: &QueryContext) -> Grammar;

    /// What the turn that says where something is may be.
    fn box_grammar(&self) -> Grammar {
        bbox::grammar()
    }

    /// The user turn, after the picture, that asks where something is.
    fn grounding_prompt(&self, expression: &str) -> String {
        bbox::prompt(expression)
    }

    /// The assistant turn that says where: left, top, right, bottom in pixels of the picture as the model sees it.
    fn render_box(&self, corners: [u32; 4]) -> String {
        bbox::render(corners)
    }

    /// Reads the assistant turn that says where.
    ///
    /// # Errors
    /// [`BoxError`] when there is no box, or it is empty, or outside the picture.
    fn parse_box(&self, text: &str, view: ViewSize) -> Result<Region, BoxError> {
        bbox::parse(text, view)
    }
}

/// A dialect that this program does not speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model's dialect {0:?} is not known; loupe.json must name one of: {known}", known = NAMES.join(", "))]
pub struct UnknownDialect(pub String);

const NAMES: [&str; 2] = [deepmm::NAME, tool_call::NAME];

/// Finds a dialect by its name in `loupe.json`.
///
/// # Errors
/// [`UnknownDialect`] with the names that are known.
pub fn by_name(name: &str) -> Result<Box<dyn Dialect>, UnknownDialect> {
    match name {
        deepmm::NAME => Ok(Box::new(deepmm::DeepMm)),
        tool_call::NAME => Ok(Box::new(tool_call::ToolCall)),
        _ => Err(UnknownDialect(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_dialect_names_the_known_ones() {
        assert_eq!(by_name("deepmm").unwrap().name(), "deepmm");
        assert_eq!(by_name("tool-call").unwrap().name(), "tool-call");
        let message = by_name("mmsearch-r1").map(|d| d.name()).unwrap_err().to_string();
        assert!(message.contains("mmsearch-r1") && message.contains("deepmm, tool-call"), "{message}");
    }
}
