//! What came of a question: one line of rows.jsonl.

use loupe_shared::protocol::{Tool, Workflow};
use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::tally::Tally;

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The question's name.
    pub id: String,
    /// How it was answered.
    pub workflow: Workflow,
    /// Its category.
    pub category: String,
    /// Whether anything has to be searched.
    pub search: bool,
    /// Pages to read after the flag is known, where that is known.
    pub hops: Option<u32>,
    /// Flags in the picture, where that is known.
    pub flags: Option<u32>,
    /// What is right.
    pub gold: String,
    /// What was answered, or none where the run failed.
    pub answer: Option<String>,
    /// Whether the answer counts as right.
    pub right: bool,
    /// What the judges said; none where there was no answer to judge.
    pub verdicts: Option<Verdicts>,
    /// Why it is not right.
    pub cause: Option<Cause>,
    /// The code of the error that ended the run.
    pub failure: Option<String>,
    /// Its searches in order.
    pub steps: Vec<Step>,
    /// Calls that the recording has no answer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<String>,
    /// Turns without any problem of grammar, of all.
    pub turns: Tally,
    /// Boxes that can be read, of all that the model was asked for.
    pub boxes: Tally,
    /// Tokens over all turns.
    pub tokens: Tokens,
    /// How long it took, from the question to its end, in milliseconds.
    pub millis: u64,
    /// How many questions were in flight at most meanwhile.
    pub in_flight: usize,
}

/// What the judges said of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// The rule's.
    pub rule: bool,
    /// The model's, where one judges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelVerdict>,
}

/// What a model said of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelVerdict {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// Twice something that is no verdict.
    Undecided,
}

impl Verdicts {
    /// What counts: the model's verdict where it gave one, else the rule's.
    #[must_use]
    pub fn counts(&self) -> bool {
        match self.model {
            Some(ModelVerdict::Right) => true,
            Some(ModelVerdict::Wrong) => false,
            Some(ModelVerdict::Undecided) | None => self.rule,
        }
    }
}

/// Tokens of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of all prompts, the reused ones included.
    pub prompt: u64,
    /// Of these, how many did not have to be computed again.
    pub reused: u64,
    /// Written.
    pub generated: u64,
}

/// A search of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which tool.
    pub tool: Tool,
    /// The words that were asked for; none for the whole picture or a box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Whether a part of the picture was searched, the model's choice or the user's frame.
    #[serde(default)]
    pub part: bool,
    /// Titles of what was found, best first.
    #[serde(default)]
    pub found: Vec<String>,
    /// Whether it came from a cache.
    #[serde(default)]
    pub cached: bool,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// How a run used its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolUse {
    /// Not at all.
    None,
    /// The whole picture was searched.
    WholeImage,
    /// A part of the picture was searched, perhaps the whole as well.
    Crop,
    /// One search by words.
    Text,
    /// Several searches by words.
    SeveralTexts,
    /// By picture and by words.
    Mixed,
}

impl ToolUse {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::None, Self::WholeImage, Self::Crop, Self::Text, Self::SeveralTexts, Self::Mixed];

    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::WholeImage => "whole image",
            Self::Crop => "crop",
            Self::Text => "text",
            Self::SeveralTexts => "several texts",
            Self::Mixed => "mixed",
        }
    }
}

impl Scored {
    /// Searches with a tool.
    pub fn searches(&self, tool: Tool) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.tool == tool)
    }

    /// How its tools were used.
    #[must_use]
    pub fn tool_use(&self) -> ToolUse {
        let (images, texts) =
            (self.searches(Tool::ImageSearch).count(), self.searches(Tool::TextSearch).count());
        match (images, texts) {
            (0, 0) => ToolUse::None,
            (0, 1) => ToolUse::Text,
            (0, _) => ToolUse::SeveralTexts,
            (_, 0) if self.steps.iter().any(|step| step.part) => ToolUse::Crop,
            (_, 0) => ToolUse::WholeImage,
            _ => ToolUse::Mixed,
        }
    }
}
