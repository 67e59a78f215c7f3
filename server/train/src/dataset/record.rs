//! One line of a data set.

use loupe_mllm::engine::{Message, Part, Role};
use loupe_shared::pixels::Region;
use serde::{Deserialize, Serialize};

use crate::atlas::Split;

/// A question with its picture and, in training data, the conversation that answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name within the data set.
    pub id: String,
    /// The split its countries and wordings belong to.
    pub split: Split,
    /// Whether anything has to be searched.
    pub search: bool,
    /// What it is about: `capital`, `count` …
    pub category: String,
    /// Pages to read after the flag is known; 0 also where nothing is searched.
    pub hops: u32,
    /// Flags in the picture.
    pub flags: u32,
    /// The question.
    pub question: String,
    /// What is right.
    pub answer: String,
    /// Other forms that are as right.
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
