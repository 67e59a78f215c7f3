//! The envelope: the form in which events are stored and sent.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::event::Event;

/// The version this program writes.
pub const PROTOCOL_VERSION: u16 = 1;

/// One event with its place in its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Protocol version.
    pub v: u16,
    /// 1, 2, 3, … within a run, without gaps.
    pub seq: u64,
    /// Milliseconds since 1970 on the server's clock.
    pub at: u64,
    /// The event's kind.
    pub kind: String,
    /// The event's payload.
    pub data: Value,
}

/// A known kind whose payload does not fit it.
#[derive(Debug, thiserror::Error)]
#[error("event {seq} ({kind}): {source}")]
pub struct EnvelopeError {
    /// The event's sequence number.
    pub seq: u64,
    /// The event's kind.
    pub kind: String,
    /// What does not fit.
    pub source: serde_json::Error,
}

/// One table for both directions, so that a kind cannot be written under one name and read under another.
macro_rules! kinds {
    ($($name:literal => $variant:ident),* $(,)?) => {
        impl Event {
            /// The kind's name on the wire.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Unknown { kind, .. } => kind,
                }
            }

            fn data(&self) -> Value {
                match self {
                    $(Self::$variant(data) => to_value(data),)*
                    Self::Unknown { data, .. } => data.clone(),
                }
            }

            fn from_parts(kind: &str, data: &Value) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $($name => Self::$variant(read(data)?),)*
                    _ => Self::Unknown { kind: kind.to_owned(), data: data.clone() },
                })
            }
        }
    };
}

kinds! {
    "queued" => Queued,
    "started" => Started,
    "reason.delta" => ReasonDelta,
    "tool.call" => ToolCall,
    "crop.request" => CropRequest,
    "crop.used" => CropUsed,
    "tool.result" => ToolResult,
    "tool.failed" => ToolFailed,
    "answer.delta" => AnswerDelta,
    "citation" => Citation,
    "done" => Done,
    "error" => Error,
    "cancelled" => Cancelled,
}

/// Payloads are plain structs with string keys; serialising one cannot fail.
fn to_value(data: &impl Serialize) -> Value {
    serde_json::to_value(data).unwrap_or(Value::Null)
}

fn read<T: DeserializeOwned>(data: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(data)
}

impl Envelope {
    /// Wraps an event.
    #[must_use]
    pub fn new(seq: u64, at: u64, event: &Event) -> Self {
        Self { v: PROTOCOL_VERSION, seq, at, kind: event.kind().to_owned(), data: event.data() }
    }

    /// Reads the event; unknown kinds are kept.
    ///
    /// # Errors
    /// [`EnvelopeError`] when a known kind carries a payload of another shape.
    pub fn event(&self) -> Result<Event, EnvelopeError> {
        Event::from_parts(&self.kind, &self.data).map_err(|source| EnvelopeError {
            seq: self.seq,
            kind: self.kind.clone(),
            source,
        })
    }
}
