//! What is sent and what comes back: OpenAI's chat completions, as far as vLLM, SGLang, llama.cpp and `transformers serve`
//! agree on them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loupe_mllm::engine::{EngineError, GenerateRequest, Message, Part, Sampling};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::transcript::Delta;
use crate::images::encode_png;

/// Most characters that are passed on of what a server says.
const LONGEST: usize = 300;

/// A request. Stop texts stay here: servers leave them out of what they send, and the dialects need them.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    model: String,
    messages: Vec<WireMessage>,
    max_tokens: u32,
    temperature: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    stream: bool,
    stream_options: StreamOptions,
}

/// vLLM's and SGLang's `continuous_usage_stats` is not asked for: servers that do not know it may refuse the request.
#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Debug, Serialize)]
struct WireMessage {
    role: &'static str,
    content: Content,
}

/// Words alone are a string: not every server takes parts for every role.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content {
    Words(String),
    Parts(Vec<WirePart>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Debug, Serialize)]
struct ImageUrl {
    url: String,
}

/// The request for a turn. An adapter is asked for as the model of its name.
///
/// # Errors
/// When a picture cannot be encoded.
pub(super) fn body(model: &str, request: &GenerateRequest) -> Result<Body, EngineError> {
    let (temperature, top_p, seed) = match request.sampling {
        Sampling::Greedy => (0.0, None, None),
        Sampling::Random { temperature, top_p, seed } => (temperature, Some(top_p), Some(seed)),
    };
    Ok(Body {
        model: request.adapter.as_deref().unwrap_or(model).to_owned(),
        messages: request.messages.iter().map(message).collect::<Result<_, _>>()?,
        max_tokens: request.max_tokens,
        temperature,
        top_p,
        seed,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    })
}

fn message(message: &Message) -> Result<WireMessage, EngineError> {
    let content = match message.parts.as_slice() {
        [Part::Text(text)] => Content::Words(text.clone()),
        parts => Content::Parts(parts.iter().map(part).collect::<Result<_, _>>()?),
    };
    Ok(WireMessage { role: message.role.as_str(), content })
}

fn part(part: &Part) -> Result<WirePart, EngineError> {
    match part {
        Part::Text(text) => Ok(WirePart::Text { text: text.clone() }),
        Part::Image(pixels) => {
            let png = encode_png(pixels).map_err(|error| EngineError::Input(error.to_string()))?;
            let url = format!("data:image/png;base64,{}", STANDARD.encode(png));
            Ok(WirePart::ImageUrl { image_url: ImageUrl { url } })
        }
    }
}

/// What `GET models` lists.
#[derive(Debug, Deserialize)]
pub(super) struct Models {
    pub(super) data: Vec<Model>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
    /// vLLM's and SGLang's.
    pub(super) max_model_len: Option<u32>,
    /// vLLM's, for a LoRA adapter: its base model.
    pub(super) parent: Option<String>,
}

impl Models {
    /// The names of a model's adapters, which are listed as models of their own.
    pub(super) fn adapters_of(&self, base: &str) -> Vec<String> {
        let of_base = |model: &&Model| model.parent.as_deref() == Some(base);
        self.data.iter().filter(of_base).map(|model| model.id.clone()).collect()
    }

    /// All names.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.data.iter().map(|model| model.id.as_str()).collect();
        names.join(", ")
    }
}

/// One event of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
    /// Some servers end a stream that fails like this.
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) delta: Delta,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) prompt_tokens: u32,
    #[serde(default)]
    pub(super) completion_tokens: u32,
    pub(super) prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct PromptDetails {
    pub(super) cached_tokens: Option<u32>,
}

/// What a server says went wrong.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    said: String,
    /// The status that goes with it, where it says so.
    pub(super) status: Option<StatusCode>,
    kinds: Vec<String>,
}

impl Complaint {
    /// What it is called where the conversation is too long: by llama.cpp and by OpenAI.
    const TOO_LONG: [&str; 2] = ["exceed_context_size_error", "context_length_exceeded"];
    /// What is said then by vLLM and SGLang, which have no name for it, and by llama.cpp.
    const TOO_LONG_WORDS: [&str; 3] = [
        "maximum context length",
        "longer than the model's context length",
        "exceeds the available context size",
    ];

    /// Reads a body in whichever of the usual forms.
    pub(super) fn of_body(bytes: &[u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(json) => Self::of_json(&json),
            Err(_not_json) => Self { said: String::from_utf8_lossy(bytes).into_owned(), ..Self::default() },
        }
    }

    /// Reads `{"error": {"message"}}`, `{"error": "…"}`, `{"message"}` or `{"detail"}`, or what is in `error`.
    pub(super) fn of_json(json: &Value) -> Self {
        let inner = json.get("error").unwrap_or(json);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let said =
            text(inner).or_else(|| ["message", "detail"].iter().find_map(|name| text(inner.get(name)?)));
        Self {
            said: said.unwrap_or_else(|| json.to_string()),
            status: inner.get("code").and_then(status),
            kinds: ["type", "code"].iter().filter_map(|name| text(inner.get(name)?)).collect(),
        }
    }

    /// In few words.
    pub(super) fn message(&self) -> String {
        brief(&self.said)
    }

    /// The error for a conversation that is too long for a model that takes `context` tokens, where it is that. Servers
    /// tell what was asked for, if at all, as the largest number and what the model takes as the first after "context".
    pub(super) fn too_long(&self, context: u32) -> Option<EngineError> {
        let is_named = self.kinds.iter().any(|kind| Self::TOO_LONG.contains(&kind.as_str()));
        let is_said = Self::TOO_LONG_WORDS.iter().any(|words| self.said.contains(words));
        if !is_named && !is_said {
            return None;
        }
        let after = self.said.split_once("context").map_or("", |(_, after)| after);
        let context = numbers(after).next().unwrap_or(context as usize);
        let tokens = numbers(&self.said).max().unwrap_or(context).max(context);
        Some(EngineError::TooLong { tokens, context })
    }
}

/// A status of failure, as a number or its digits.
fn status(code: &Value) -> Option<StatusCode> {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    let status = StatusCode::from_u16(u16::try_from(number).ok()?).ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

fn numbers(text: &str) -> impl Iterator<Item = usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

/// What a server says, short and without control characters.
pub(super) fn brief(said: &str) -> String {
    said.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversation_that_is_too_long_is_recognised_whoever_says_so() {
        let llama = json!({ "error": { "code": 400, "type": "exceed_context_size_error", "message":
            "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it" } });
        let openai = json!({ "error": { "message": "Too long.", "code": "context_length_exceeded" } });
        let vllm = json!({ "object": "error", "code": 400, "message": "This model's maximum context length is 2048 \
            tokens. However, you requested 3000 tokens (2900 in the messages, 100 in the completion)." });
        let sglang = json!({ "error": { "message":
            "The input (70 tokens) is longer than the model's context length (64 tokens)." } });
        for (said, expected) in [
            (&llama, Some((9412, 8192))),
            (&llama["error"], Some((9412, 8192))),
            (&openai, Some((9000, 9000))),
            (&vllm, Some((3000, 2048))),
            (&sglang, Some((70, 64))),
            (&json!({ "error": { "message": "the context is empty", "code": 400 } }), None),
        ] {
            let numbers = match Complaint::of_json(said).too_long(9000) {
                Some(EngineError::TooLong { tokens, context }) => Some((tokens, context)),
                _ => None,
            };
            assert_eq!(numbers, expected, "{said}");
        }
    }

    #[test]
    fn a_status_in_a_body_is_one_of_failure() {
        for (code, expected) in [(json!(503), Some(503)), (json!("400"), Some(400)), (json!(200), None)]
            .into_iter()
            .chain([(json!("bad"), None), (json!(40_303), None)])
        {
            let status = Complaint::of_json(&json!({ "code": code })).status;
            assert_eq!(status.map(|status| status.as_u16()), expected, "{code}");
        }
    }
}
