//! The events of a run. Exactly one of `done`, `error` and `cancelled` ends it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{CallId, ImageId};
use crate::pixels::Region;

/// Which of the three workflows answers a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workflow {
    /// The model alone, no tools.
    Direct,
    /// Fixed: image search, text search, answer.
    Rag,
    /// The model decides when, what and how to search.
    #[default]
    Agent,
}

/// A tool as the protocol names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Search by picture, the whole or a part.
    ImageSearch,
    /// Search by words.
    TextSearch,
}

/// What a tool was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolTarget {
    /// The words of a text search.
    Query(String),
    /// The part of the first picture that is searched; the whole is (0, 0, 1, 1).
    Region(Region),
    /// The model's words for the part; a `crop.request` or `crop.used` tells where it was found.
    Expression(String),
}

/// One result of a search. Only URLs that stand in a hit may be cited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// 1 for the best.
    pub rank: u32,
    /// The page's title.
    pub title: String,
    /// The page's address; for the local index a path under `/pages/` of this server.
    pub url: String,
    /// The passage that answers best, plain text.
    pub snippet: String,
    /// A small picture, as an address on this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumb: Option<String>,
}

/// Who cut the crop that was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropBy {
    /// The browser, from the full-resolution original.
    Browser,
    /// The server, from what was uploaded.
    Server,
}

/// A hit within a run: the call that returned it and its rank there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HitRef {
    /// The tool call that returned the hit.
    pub call_id: CallId,
    /// The hit's rank in that call's result.
    pub rank: u32,
}

/// A source of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// The hit that supports the span.
    pub hit: HitRef,
    /// Byte range of the answer's text that the hit supports, `[start, end)`.
    pub span: [u32; 2],
}

/// What a run cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of all prompts, the reused ones included.
    pub prompt_tokens: u32,
    /// Prompt tokens whose keys and values were still cached.
    pub reused_tokens: u32,
    /// Tokens the model wrote.
    pub generated_tokens: u32,
    /// Searches of both kinds.
    pub searches: u32,
    /// Milliseconds from the query to the first token the model wrote.
    pub first_token_ms: u32,
    /// Generated tokens per second of decoding.
    pub tokens_per_second: f32,
}

/// One event of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run waits; `position` runs are before it.
    Queued(Queued),
    /// The run began.
    Started(Started),
    /// The model thinks.
    ReasonDelta(TextDelta),
    /// A tool is called.
    ToolCall(ToolCall),
    /// The browser is asked to cut this region from the original.
    CropRequest(CropRequest),
    /// The picture that was searched.
    CropUsed(CropUsed),
    /// A tool answered.
    ToolResult(ToolResult),
    /// A tool failed; the run goes on.
    ToolFailed(ToolFailed),
    /// The answer grows.
    AnswerDelta(TextDelta),
    /// A source of the answer.
    Citation(Citation),
    /// The end: an answer.
    Done(Done),
    /// The end: a failure.
    Error(RunError),
    /// The end: stopped on request.
    Cancelled(Cancelled),
    /// A kind this reader does not know, kept as it came.
    Unknown {
        /// The kind's name.
        kind: String,
        /// Its payload.
        data: Value,
    },
}

macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
    };
}

payload!(
    /// `queued`
    Queued {
        /// How many runs are before this one.
        position: u32,
    }
);
payload!(
    /// `started`
    Started {
        /// The model's name.
        model: String,
        /// The dialect it writes.
        dialect: String,
        /// How the query is answered.
        workflow: Workflow,
    }
);
payload!(
    /// `reason.delta` and `answer.delta`
    TextDelta {
        /// The new text.
        text: String,
    }
);
payload!(
    /// `tool.call`
    ToolCall {
        /// The call's name within the run.
        call_id: CallId,
        /// Which tool.
        tool: Tool,
        /// What it is asked for.
        #[serde(flatten)]
        target: ToolTarget,
    }
);
payload!(
    /// `crop.request`
    CropRequest {
        /// The call that needs the crop.
        call_id: CallId,
        /// Where, as fractions of the upright original.
        region: Region,
    }
);
payload!(
    /// `crop.used`
    CropUsed {
        /// The call that searched it.
        call_id: CallId,
        /// The stored crop.
        image_id: ImageId,
        /// Who cut it.
        by: CropBy,
        /// Where it lies in the original, when it is a part of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<Region>,
    }
);
payload!(
    /// `tool.result`
    ToolResult {
        /// The call that was answered.
        call_id: CallId,
        /// What was found, best first.
        hits: Vec<Hit>,
        /// What the model reads of it.
        summary: String,
        /// How long the search took.
        took_ms: u32,
        /// Whether it came from the cache.
        cached: bool,
        /// Which provider answered.
        provider: String,
    }
);
payload!(
    /// `tool.failed`
    ToolFailed {
        /// The call that failed.
        call_id: CallId,
        /// A stable code.
        code: String,
        /// What happened and what to do, for people.
        message: String,
    }
);
payload!(
    /// `done`
    Done {
        /// The whole answer.
        answer: String,
        /// Its sources.
        citations: Vec<Citation>,
        /// What it cost.
        usage: Usage,
    }
);
payload!(
    /// `error`
    RunError {
        /// A stable code.
        code: String,
        /// What happened and what to do, for people.
        message: String,
    }
);
payload!(
    /// `cancelled`
    Cancelled {}
);

impl Event {
    /// Whether nothing follows this event.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Error(_) | Self::Cancelled(_))
    }
}
