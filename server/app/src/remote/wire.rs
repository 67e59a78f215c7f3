//! What is sent and what comes back: OpenAI's chat completions, as far as vLLM, SGLang, llama.cpp and `transformers serve`
//! agree on them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loupe_mllm::engine::{EngineError, GenerateRequest, Message, Part, Sampling};
use serde::{Deserialize, Serialize};

use crate::images::encode_png;

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
}

/// One event of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
    /// Some servers end a stream that fails like this.
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) delta: Delta,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    pub(super) content: Option<String>,
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

/// A body that says what went wrong.
pub(super) struct ErrorBody;

impl ErrorBody {
    /// Most characters of it that are passed on.
    const LONGEST: usize = 300;

    /// What it says, in whichever of the usual forms.
    pub(super) fn message(bytes: &[u8]) -> String {
        let json: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
        let said = json.as_ref().and_then(Self::of_json);
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
        said.trim().chars().filter(|c| !c.is_control()).take(Self::LONGEST).collect()
    }

    /// `{"error": {"message"}}`, `{"error": "…"}`, `{"message"}` or `{"detail"}`.
    pub(super) fn of_json(json: &serde_json::Value) -> Option<String> {
        let inner = json.get("error").unwrap_or(json);
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        text(inner).or_else(|| ["message", "detail"].iter().find_map(|name| text(inner.get(name)?)))
    }
}
