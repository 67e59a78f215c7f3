//! DeepMMSearch-R1's tags while they are written.

use super::super::lexer::{Lexer, Token, Trimmed};
use super::super::{Action, ImageTarget, Parser, ParserEvent, Problem};

const REASON: &str = "<reason>";
const REASON_END: &str = "</reason>";
const IMAGE: &str = "<img_search>";
const IMAGE_END: &str = "</img_search>";
const TEXT: &str = "<text_search>";
const TEXT_END: &str = "</text_search>";
const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";
const INFORMATION: &str = "<information>";
const INFORMATION_END: &str = "</information>";
const IMG: &str = "<img>";
const IMG_END: &str = "</img>";

const TAGS: &[&str] = &[
    REASON,
    REASON_END,
    IMAGE,
    IMAGE_END,
    TEXT,
    TEXT_END,
    ANSWER,
    ANSWER_END,
    INFORMATION,
    INFORMATION_END,
    IMG,
    IMG_END,
];

/// Which element the text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Reason,
    Image,
    Text,
    Answer,
}

impl Element {
    fn opened_by(tag: &str) -> Option<Self> {
        match tag {
            REASON => Some(Self::Reason),
            IMAGE => Some(Self::Image),
            TEXT => Some(Self::Text),
            ANSWER => Some(Self::Answer),
            _ => None,
        }
    }

    fn opening(self) -> &'static str {
        match self {
            Self::Reason => REASON,
            Self::Image => IMAGE,
            Self::Text => TEXT,
            Self::Answer => ANSWER,
        }
    }

    fn closing(self) -> &'static str {
        match self {
            Self::Reason => REASON_END,
            Self::Image => IMAGE_END,
            Self::Text => TEXT_END,
            Self::Answer => ANSWER_END,
        }
    }
}

#[derive(Debug, Default)]
enum State {
    /// Outside of any element.
    #[default]
    Between,
    /// Inside one.
    Inside { element: Element, text: Trimmed, img: bool },
    /// After the search or the answer, or after something that cannot be repaired.
    Over,
}

/// The incremental parser of one assistant turn.
#[derive(Debug)]
pub(super) struct DeepMmParser {
    lexer: Lexer,
    state: State,
    reasoned: bool,
    /// Whether the turn has had its search, its answer or an unrepaired problem.
    decided: bool,
    problems: Vec<Problem>,
    events: Vec<ParserEvent>,
}

impl Default for DeepMmParser {
    fn default() -> Self {
        Self {
            lexer: Lexer::new(TAGS),
            state: State::Between,
            reasoned: false,
            decided: false,
            problems: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl Parser for DeepMmParser {
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
        self.close_at_end();
        if !self.decided {
            self.problem(Problem::NoAction);
        }
        std::mem::take(&mut self.events)
    }
}

impl DeepMmParser {
    fn take(&mut self, token: Token) {
        match (&mut self.state, token) {
            (State::Over, Token::Text(text)) if text.trim().is_empty() => {}
            (State::Over, _) => self.problem(Problem::AfterAction),
            (State::Between, Token::Text(text)) => {
                if !text.trim().is_empty() {
                    self.problem(Problem::TextOutside);
                }
            }
            (State::Between, Token::Tag(tag)) => self.tag_between(tag),
            (State::Inside { element, text, .. }, Token::Text(piece)) => {
                let element = *element;
                let delta = text.push(&piece);
                self.delta(element, delta);
            }
            (State::Inside { element, .. }, Token::Tag(tag)) => {
                let element = *element;
                self.tag_inside(element, tag);
            }
        }
    }

    fn tag_between(&mut self, tag: &'static str) {
        if tag == INFORMATION {
            return self.spoil(Problem::ForgedResult(INFORMATION));
        }
        match Element::opened_by(tag) {
            Some(element) => self.open(element),
            None => self.problem(Problem::StrayTag(tag)),
        }
    }

    fn tag_inside(&mut self, element: Element, tag: &'static str) {
        if tag == element.closing() {
            return self.close();
        }
        let opens = tag == INFORMATION || Element::opened_by(tag).is_some();
        if element == Element::Answer && opens && !self.text_is_empty() {
            self.problem(Problem::LeftOpen(ANSWER));
            self.close();
            return self.problem(Problem::AfterAction);
        }
        if tag == INFORMATION {
            return self.spoil(Problem::ForgedResult(INFORMATION));
        }
        match (element, Element::opened_by(tag)) {
            (Element::Image, None) if tag == IMG || tag == IMG_END => {
                if let State::Inside { img, .. } = &mut self.state {
                    *img |= tag == IMG;
                }
                if tag == IMG_END {
                    self.problem(Problem::StrayTag(tag));
                }
            }
            (Element::Reason, Some(next)) if next != Element::Reason => {
                self.problem(Problem::LeftOpen(REASON));
                self.close();
                self.open(next);
            }
            (Element::Reason | Element::Answer, None) | (Element::Reason, Some(_)) => {
                self.problem(Problem::StrayTag(tag));
            }
            (outer, _) => self.spoil(Problem::Nested { outer: outer.opening(), inner: tag }),
        }
    }

    fn open(&mut self, element: Element) {
        if element != Element::Reason && !self.reasoned {
            self.problem(Problem::NoReason);
        }
        self.state = State::Inside { element, text: Trimmed::default(), img: false };
    }

    /// The element that is open is complete.
    fn close(&mut self) {
        let State::Inside { element, text, img } = std::mem::take(&mut self.state) else {
            return;
        };
        let text = text.as_str();
        let action = match element {
            Element::Reason if text.is_empty() => return,
            Element::Reason => {
                self.reasoned = true;
                return self.events.push(ParserEvent::ActionComplete(Action::Reason(text.to_owned())));
            }
            Element::Image => image_target(text, img).map(Action::ImageSearch),
            Element::Text => (!text.is_empty()).then(|| Action::TextSearch(one_line(text))),
            Element::Answer => (!text.is_empty()).then(|| Action::Answer(text.to_owned())),
        };
        match action {
            Some(action) => {
                self.events.push(ParserEvent::ActionComplete(action));
                self.decided = true;
                self.state = State::Over;
            }
            None => self.spoil(Problem::Empty(element.opening())),
        }
    }

    fn close_at_end(&mut self) {
        let State::Inside { element, .. } = &self.state else {
            return;
        };
        match element {
            Element::Reason | Element::Answer => {
                self.problem(Problem::LeftOpen(element.opening()));
                self.close();
            }
            Element::Image | Element::Text => self.spoil(Problem::Unclosed(element.opening())),
        }
    }

    fn delta(&mut self, element: Element, delta: String) {
        if delta.is_empty() {
            return;
        }
        match element {
            Element::Reason => self.events.push(ParserEvent::ReasonDelta(delta)),
            Element::Answer => self.events.push(ParserEvent::AnswerDelta(delta)),
            Element::Image | Element::Text => {}
        }
    }

    /// Notes each kind of problem once, so that the same text gives the same problems however it arrives.
    fn problem(&mut self, problem: Problem) {
        if self.problems.contains(&problem) {
            return;
        }
        self.problems.push(problem.clone());
        self.events.push(ParserEvent::Problem(problem));
    }

    /// A problem after which nothing of the turn is used.
    fn spoil(&mut self, problem: Problem) {
        self.problem(problem);
        self.decided = true;
        self.state = State::Over;
    }

    fn text_is_empty(&self) -> bool {
        matches!(&self.state, State::Inside { text, .. } if text.as_str().is_empty())
    }
}

/// `<img>` and, as the paper's figures write it, a bare `img` mean the whole picture.
fn image_target(text: &str, img: bool) -> Option<ImageTarget> {
    match text {
        "" if img => Some(ImageTarget::Whole),
        "" => None,
        "img" => Some(ImageTarget::Whole),
        words => Some(ImageTarget::Expression(one_line(words))),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
