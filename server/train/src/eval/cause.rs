//! Why an answer is not right, as far as that can be told from what the run did.

use loupe_shared::protocol::Tool;
use serde::{Deserialize, Serialize};

use super::scored::Step;

/// Why a question was not answered rightly: the first thing that went wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The model's turns could not be read, even after corrections.
    InvalidTurn,
    /// A limit of the run was reached, and no answer given.
    Limit,
    /// The engine failed.
    Engine,
    /// A search failed.
    ToolFailure,
    /// Something had to be searched, and nothing was.
    NotSearched,
    /// The search by picture found something else first.
    WrongPicture,
    /// A page that is needed was not among the hits.
    PageNotFound,
    /// The answer did not stand in what the model read.
    NotInWhatWasRead,
    /// The answer stood in what the model read.
    WrongAlthoughRead,
    /// Nothing had to be searched, and the answer is wrong.
    WrongWithoutSearch,
}

impl Cause {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTurn => "invalid turn",
            Self::Limit => "turn or other limit reached",
            Self::Engine => "engine failure",
            Self::ToolFailure => "tool failure",
            Self::NotSearched => "nothing searched",
            Self::WrongPicture => "wrong picture found",
            Self::PageNotFound => "page not found",
            Self::NotInWhatWasRead => "answer not in what was read",
            Self::WrongAlthoughRead => "wrong although read",
            Self::WrongWithoutSearch => "wrong without need to search",
        }
    }
}

/// What is known of a run that did not answer rightly.
pub(super) struct Trail<'a> {
    /// Code of the error that ended it.
    pub(super) failure: Option<&'a str>,
    /// Whether it had to search.
    pub(super) search: bool,
    /// Its searches.
    pub(super) steps: &'a [Step],
    /// Titles of the pages that lead to the answer, first what the picture shows; empty where not known.
    pub(super) evidence: &'a [String],
    /// Whether the right answer stood in what the model read.
    pub(super) was_read: bool,
}

impl Trail<'_> {
    /// The cause.
    pub(super) fn cause(&self) -> Cause {
        if let Some(code) = self.failure {
            return of_failure(code);
        }
        if self.steps.iter().any(|step| step.failed.is_some()) {
            return Cause::ToolFailure;
        }
        if !self.search {
            return Cause::WrongWithoutSearch;
        }
        if self.steps.is_empty() {
            return Cause::NotSearched;
        }
        let otherwise = if self.was_read { Cause::WrongAlthoughRead } else { Cause::NotInWhatWasRead };
        self.missing().unwrap_or(otherwise)
    }

    /// Which of the pages that lead to the answer was not found.
    fn missing(&self) -> Option<Cause> {
        let (shown, pages) = self.evidence.split_first()?;
        let first = |step: &Step| step.found.first() == Some(shown);
        let mut by_picture = self.steps.iter().filter(|step| step.tool == Tool::ImageSearch);
        if !by_picture.any(first) {
            return Some(Cause::WrongPicture);
        }
        let is_found = |page: &String| self.steps.iter().any(|step| step.found.contains(page));
        (!pages.iter().all(is_found)).then_some(Cause::PageNotFound)
    }
}

fn of_failure(code: &str) -> Cause {
    match code {
        "dialect_malformed" => Cause::InvalidTurn,
        "no_answer" | "context_exceeded" => Cause::Limit,
        _ if code.starts_with("budget_") => Cause::Limit,
        _ => Cause::Engine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tool: Tool, found: &[&str]) -> Step {
        let found = found.iter().map(|title| (*title).to_owned()).collect();
        Step { tool, words: None, part: false, found, cached: false, failed: None }
    }

    fn cause(steps: &[Step], evidence: &[&str], was_read: bool) -> Cause {
        let evidence: Vec<String> = evidence.iter().map(|title| (*title).to_owned()).collect();
        Trail { failure: None, search: true, steps, evidence: &evidence, was_read }.cause()
    }

    #[test]
    fn the_first_thing_that_went_wrong_is_named() {
        let flag = || step(Tool::ImageSearch, &["Flag of Norway", "Flag of Iceland"]);
        let way = ["Flag of Norway", "Capital of Norway"];
        assert_eq!(cause(&[], &way, false), Cause::NotSearched);
        assert_eq!(cause(&[step(Tool::ImageSearch, &["Flag of Iceland"])], &way, false), Cause::WrongPicture);
        assert_eq!(cause(&[flag()], &way, false), Cause::PageNotFound);
        let found = [flag(), step(Tool::TextSearch, &["Area of Norway", "Capital of Norway"])];
        assert_eq!(cause(&found, &way, false), Cause::NotInWhatWasRead);
        assert_eq!(cause(&found, &way, true), Cause::WrongAlthoughRead);
        assert_eq!(cause(&found, &[], false), Cause::NotInWhatWasRead);
        let failed = Step { failed: Some("search_timeout".to_owned()), ..flag() };
        assert_eq!(cause(&[failed], &way, false), Cause::ToolFailure);
    }

    #[test]
    fn runs_without_an_answer_are_told_by_their_code() {
        let of = |code| {
            let trail =
                Trail { failure: Some(code), search: true, steps: &[], evidence: &[], was_read: false };
            trail.cause()
        };
        assert_eq!(of("dialect_malformed"), Cause::InvalidTurn);
        assert_eq!(of("budget_tool_calls"), Cause::Limit);
        assert_eq!(of("model_not_finite"), Cause::Engine);
    }
}
