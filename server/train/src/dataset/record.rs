//! One line of a data set.

use loupe_mllm::engine::{Message, Part, Role};
use loupe_shared::pixels::Region;
use serde::{Deserialize, Serialize};

use crate::atlas::Split;

/// A question with its picture and, in training data, the conversation that answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name within the data set; [`read`](super::file::read) makes one of the line's number where it is missing.
    #[serde(default)]
    pub id: String,
    /// The split its countries and wordings belong to; the Atlas only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Whether anything has to be searched; assumed where nobody says otherwise.
    #[serde(default = "assumed")]
    pub search: bool,
    /// What it is about: `capital`, `count` …
    #[serde(default = "unlabelled")]
    pub category: String,
    /// Pages to read after the flag is known; 0 also where nothing is searched; the Atlas only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<u32>,
    /// Flags in the picture; the Atlas only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<u32>,
    /// The data set it was taken from; none for the Atlas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The question.
    pub question: String,
    /// What is right.
    pub answer: String,
    /// Other forms that are as right.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The picture's file, relative to the data set's file.
    pub image: String,
    /// The part that the user framed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Titles of the pages that lead to the answer, first what the picture shows; empty where they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The conversation; empty where there is only a question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<RecordMessage>,
}

/// The category of questions that nobody has labelled.
pub const UNLABELLED: &str = "unlabelled";

fn assumed() -> bool {
    true
}

fn unlabelled() -> String {
    UNLABELLED.to_owned()
}

/// A message of a conversation. Its pictures stand before its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordMessage {
    /// Who says it.
    pub role: RecordRole,
    /// The words.
    pub text: String,
    /// What of the record's picture is shown, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<View>,
    /// Loss weight of its tokens: 1 for what the model says, 0 for what it is told.
    pub weight: f32,
}

/// What of a picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// All of it.
    Whole,
    /// The record's region.
    Region,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordRole {
    /// The instructions.
    System,
    /// The person or a tool.
    User,
    /// The model.
    Assistant,
}

impl From<Role> for RecordRole {
    fn from(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
        }
    }
}

impl From<&Message> for RecordMessage {
    /// Pictures of a message are the whole first and the framed part second, as the agent shows them.
    fn from(message: &Message) -> Self {
        let role = RecordRole::from(message.role);
        let mut views = [View::Whole, View::Region].into_iter();
        let mut recorded = Self { role, text: String::new(), pictures: Vec::new(), weight: 0.0 };
        for part in &message.parts {
            match part {
                Part::Text(text) => recorded.text.push_str(text),
                Part::Image(_) => recorded.pictures.extend(views.next()),
            }
        }
        recorded.weight = if role == RecordRole::Assistant { 1.0 } else { 0.0 };
        recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_atlas_stay_as_they_were() {
        let line = r#"{"id":"test-7-000000","split":"test","search":true,"category":"capital","hops":1,"flags":2,"question":"?","answer":"Oslo","aliases":[],"image":"images/a.png"}"#;
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!((record.split, record.hops, record.flags), (Some(Split::Test), Some(1), Some(2)));
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }

    #[test]
    fn a_question_from_outside_needs_a_picture_and_an_answer_only() {
        let line = r#"{"question": "Who built it?", "answer": "Eiffel", "image": "tower.jpg"}"#;
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!((record.split, record.search, record.category.as_str()), (None, true, UNLABELLED));
        let without = serde_json::from_str::<Record>(r#"{"question": "?", "image": "a.png"}"#).unwrap_err();
        assert!(without.to_string().contains("answer"), "{without}");
    }
}
