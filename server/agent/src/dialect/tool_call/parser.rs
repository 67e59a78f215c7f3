//! Qwen's `<tool_call>` while it is written.

use serde::Deserialize;
use serde_json::Value;

use super::super::lexer::{Lexer, Token, Trimmed};
use super::super::{Action, ImageTarget, Parser, ParserEvent, Problem, ViewSize, bbox};
use super::{IMAGE_SEARCH, TEXT_SEARCH, WHOLE};
use crate::information::plain_within;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const CALL: &str = "<tool_call>";
const CALL_END: &str = "</tool_call>";
const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";
const RESPONSE: &str = "<tool_response>";

const TAGS: &[&str] = &[THINK, THINK_END, CALL, CALL_END, ANSWER, ANSWER_END, RESPONSE];

#[derive(Debug)]
enum State {
    /// Outside of any element. Untrained models think and answer there, and only the end shows which it was.
    Between(Trimmed),
    Think(Trimmed),
    Call(String),
    Answer(Trimmed),
    Over,
}

/// The incremental parser of one assistant turn.
#[derive(Debug)]
pub(super) struct ToolCallParser {
    lexer: Lexer,
    view: Option<ViewSize>,
    state: State,
    problems: Vec<Problem>,
    events: Vec<ParserEvent>,
}

impl Parser for ToolCallParser {
    fn push(&mut self, delta: &str) -> Vec<ParserEvent> {
        for token in self.lexer.push(delta) {
            self.take(token);
        }
        std::mem::take(&mut self.events)
    }

    fn finish(&mut self) -> Vec<ParserEvent> {
        if let Some(token) = self.lexer.finish() {
            self.take(token);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Between(text) => self.answer_outside(text.as_str()),
            State::Think(text) => {
                self.problem(Problem::LeftOpen(THINK));
                self.reason(text.as_str());
                self.problem(Problem::NoAction);
            }
            State::Call(json) => {
                self.problem(Problem::LeftOpen(CALL));
                self.call(&json);
            }
            State::Answer(text) => {
                self.problem(Problem::LeftOpen(ANSWER));
                self.answer(text.as_str());
            }
            State::Over => {}
        }
        std::mem::take(&mut self.events)
    }
}

impl ToolCallParser {
    /// A parser of one turn; boxes are in pixels of a picture of this size.
    pub(super) fn new(view: Option<ViewSize>) -> Self {
        Self {
            lexer: Lexer::new(TAGS),
            view,
            state: State::Between(Trimmed::default()),
            problems: Vec::new(),
            events: Vec::new(),
        }
    }

    fn take(&mut self, token: Token) {
        match token {
            Token::Text(text) => self.take_text(&text),
            Token::Tag(tag) => self.take_tag(tag),
        }
    }

    fn take_text(&mut self, piece: &str) {
        let event = match &mut self.state {
            State::Between(text) => {
                text.push(piece);
                return;
            }
            State::Call(json) => return json.push_str(piece),
            State::Over if piece.trim().is_empty() => return,
            State::Over => return self.problem(Problem::AfterAction),
            State::Think(text) => ParserEvent::ReasonDelta(text.push(piece)),
            State::Answer(text) => ParserEvent::AnswerDelta(text.push(piece)),
        };
        if !matches!(&event, ParserEvent::ReasonDelta(text) | ParserEvent::AnswerDelta(text) if text.is_empty())
        {
            self.events.push(event);
        }
    }

    fn take_tag(&mut self, tag: &'static str) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => self.problem(Problem::AfterAction),
            _ if tag == RESPONSE => self.problem(Problem::ForgedResult(RESPONSE)),
            State::Between(text) => self.tag_between(text, tag),
            State::Think(text) if tag == THINK_END => {
                self.reason(text.as_str());
                self.state = State::Between(Trimmed::default());
            }
            State::Think(text) if tag == CALL || tag == ANSWER => {
                self.problem(Problem::LeftOpen(THINK));
                self.reason(text.as_str());
                self.tag_between(Trimmed::default(), tag);
            }
            State::Call(json) if tag == CALL_END => self.call(&json),
            State::Call(_) => self.problem(Problem::Nested { outer: CALL, inner: tag }),
            State::Answer(text) if tag == ANSWER_END => self.answer(text.as_str()),
            State::Answer(text) if text.as_str().is_empty() => {
                self.problem(Problem::Nested { outer: ANSWER, inner: tag });
            }
            State::Answer(text) => {
                self.problem(Problem::LeftOpen(ANSWER));
                self.answer(text.as_str());
                self.problem(Problem::AfterAction);
            }
            state @ State::Think(_) => {
                self.state = state;
                self.problem(Problem::StrayTag(tag));
            }
        }
    }

    fn tag_between(&mut self, outside: Trimmed, tag: &'static str) {
        let next = match tag {
            THINK => State::Think(Trimmed::default()),
            CALL => State::Call(String::new()),
            ANSWER => State::Answer(Trimmed::default()),
            _ => {
                self.state = State::Between(outside);
                return self.problem(Problem::StrayTag(tag));
            }
        };
        if !outside.as_str().is_empty() {
            self.problem(Problem::TextOutside);
            self.events.push(ParserEvent::ReasonDelta(outside.as_str().to_owned()));
            self.reason(outside.as_str());
        }
        self.state = next;
    }

    fn reason(&mut self, text: &str) {
        if !text.is_empty() {
            self.events.push(ParserEvent::ActionComplete(Action::Reason(text.to_owned())));
        }
    }

    fn answer(&mut self, text: &str) {
        if text.is_empty() {
            return self.problem(Problem::Empty(ANSWER));
        }
        self.events.push(ParserEvent::ActionComplete(Action::Answer(text.to_owned())));
    }

    /// A turn that ends outside of any element answers with what stands there.
    fn answer_outside(&mut self, text: &str) {
        if text.is_empty() {
            return self.problem(Problem::NoAction);
        }
        self.problem(Problem::TextOutside);
        self.events.push(ParserEvent::AnswerDelta(text.to_owned()));
        self.answer(text);
    }

    fn call(&mut self, json: &str) {
        match read_call(json, self.view) {
            Ok(action) => self.events.push(ParserEvent::ActionComplete(action)),
            Err(problem) => self.problem(problem),
        }
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.contains(&problem) {
            return;
        }
        self.problems.push(problem.clone());
        self.events.push(ParserEvent::Problem(problem));
    }
}

#[derive(Deserialize)]
struct Call {
    name: String,
    #[serde(default)]
    arguments: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    query: Option<String>,
    target: Option<String>,
    bbox_2d: Option<Value>,
}

fn read_call(json: &str, view: Option<ViewSize>) -> Result<Action, Problem> {
    let call: Call = serde_json::from_str(json.trim()).map_err(|e| unreadable(&e))?;
    match call.name.as_str() {
        TEXT_SEARCH => {
            let query = call.arguments.query.as_deref().map(str::trim).filter(|query| !query.is_empty());
            query.map(|query| Action::TextSearch(query.to_owned())).ok_or(Problem::Empty("query"))
        }
        IMAGE_SEARCH => image_target(&call.arguments, view).map(Action::ImageSearch),
        _ => Err(Problem::BadArguments(format!("the tools are {IMAGE_SEARCH} and {TEXT_SEARCH}"))),
    }
}

/// The reason may quote what the model wrote, so it is kept short and harmless.
fn unreadable(error: &dyn std::error::Error) -> Problem {
    Problem::BadArguments(plain_within(&error.to_string(), 120))
}

fn image_target(arguments: &Arguments, view: Option<ViewSize>) -> Result<ImageTarget, Problem> {
    if let (Some(corners), Some(view)) = (&arguments.bbox_2d, view) {
        let region = bbox::region(corners, view).map_err(|e| unreadable(&e))?;
        return Ok(ImageTarget::Region(region));
    }
    match arguments.target.as_deref().map(str::trim) {
        None | Some("" | WHOLE) => Ok(ImageTarget::Whole),
        Some(words) => Ok(ImageTarget::Expression(words.to_owned())),
    }
}

#[cfg(test)]
mod tests;
