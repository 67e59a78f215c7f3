//! Bodies of requests and answers.

use serde::{Deserialize, Serialize};

use super::event::Workflow;
use crate::ids::{ImageId, QueryId, ShareId};
use crate::pixels::Region;

/// Longest question the server takes, in bytes of UTF-8.
pub const MAX_QUESTION_BYTES: usize = 4_000;

/// The one error body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorInfo,
}

/// What happened, what it means, one thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// Stable, for programs: `image_too_large`.
    pub code: String,
    /// For people: what happened.
    pub message: String,
    /// For people: what to do.
    pub hint: String,
}

/// Answer of `POST /api/v1/images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageStored {
    /// Content hash of the bytes that came.
    pub image_id: ImageId,
    /// Width of the upright picture in pixels.
    pub width: u32,
    /// Height of the upright picture in pixels.
    pub height: u32,
}

/// What an uploaded picture is to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageRole {
    /// The whole picture.
    Whole,
    /// The part that the user framed.
    Focus,
}

/// A picture of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryImage {
    /// An uploaded picture.
    pub image_id: ImageId,
    /// The whole or the framed part.
    pub role: ImageRole,
    /// For a focus: where it lies in the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// Body of `POST /api/v1/queries`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// The question.
    pub question: String,
    /// The whole picture first, then the framed part if there is one.
    #[serde(default)]
    pub images: Vec<QueryImage>,
    /// The run this one follows up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<QueryId>,
    /// How to answer; the agent by default.
    #[serde(default)]
    pub workflow: Workflow,
    /// Whether every turn is held to the grammar of the model's dialect; as the server is set by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constrain: Option<bool>,
    /// Which of the model's adapters answers, by its name in `GET /api/v1/meta`; the model alone by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// BCP 47 tag of the language to answer in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
}

/// Answer of `POST /api/v1/queries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryCreated {
    /// The new run.
    pub query_id: QueryId,
}

/// Body of `POST /api/v1/shares`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRequest {
    /// A finished run.
    pub query_id: QueryId,
    /// Whether the pictures may be seen with the link.
    #[serde(default)]
    pub include_images: bool,
    /// Days until the link ends; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// Answer of `POST /api/v1/shares`. The delete token is shown this once; the server keeps its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareCreated {
    /// The link is `/s/{share_id}`.
    pub share_id: ShareId,
    /// Sent as `Authorization: Bearer` with `DELETE /api/v1/shares/{id}`.
    pub delete_token: String,
}

/// Answer of `GET /api/v1/shares/{id}`: the query and its log, frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedRun {
    /// What was asked; without pictures unless they were included.
    pub query: QueryRequest,
    /// When it was shared, milliseconds since 1970.
    pub shared_at: u64,
    /// The run's whole log.
    pub events: Vec<super::Envelope>,
}

/// Answer of `GET /api/v1/queries/{id}`: the query and the fold of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryView {
    /// The run.
    pub query_id: QueryId,
    /// What was asked.
    pub query: QueryRequest,
    /// When, milliseconds since 1970.
    pub created_at: u64,
    /// Where it stands.
    pub state: super::RunState,
}

/// Answer of `GET /api/v1/meta`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The program's version.
    pub version: String,
    /// The protocol's version.
    pub protocol: u16,
    /// The model that answers.
    pub model: ModelMeta,
    /// Search providers and how they are.
    pub search: Vec<ProviderMeta>,
    /// What the server takes.
    pub limits: Limits,
    /// Sample scenes to try, when the Atlas is served.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// The model, as far as a client cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMeta {
    /// Its name.
    pub name: String,
    /// The dialect it writes.
    pub dialect: String,
    /// Smallest picture area it sees, in pixels after `smart_resize`.
    pub min_pixels: u32,
    /// Largest picture area it sees, in pixels after `smart_resize`.
    pub max_pixels: u32,
    /// One or two sentences on what it can and cannot do.
    pub about: String,
    /// Names of the adapters that a query may ask for.
    #[serde(default)]
    pub adapters: Vec<String>,
}

/// A search provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderMeta {
    /// Its name.
    pub name: String,
    /// What it searches.
    pub kind: super::event::Tool,
    /// Whether its last check went well.
    pub healthy: bool,
    /// What to do about it, when not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the server takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest question in bytes.
    pub question_bytes: u32,
    /// Largest upload in bytes.
    pub image_bytes: u32,
    /// Most pixels of a picture, checked before it is decoded.
    pub image_pixels: u32,
    /// Longest side of a picture.
    pub image_side: u32,
}

/// A sample scene with questions that fit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Address on this server.
    pub url: String,
    /// What is to be seen, for people who cannot see it.
    pub alt: String,
    /// Questions to try.
    pub questions: Vec<String>,
}
