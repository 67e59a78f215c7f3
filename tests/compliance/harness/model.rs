//! A model that follows a script: it searches a part of the picture, then words, then answers.

use std::time::Duration;

use async_trait::async_trait;
use loupe_mllm::engine::{
    Completion, Decoder, EngineError, Finish, GenerateRequest, Message, ModelInfo, Part, Role,
};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

/// Plays the script for any number of runs.
pub(crate) struct ScriptedModel {
    info: ModelInfo,
    turns: Semaphore,
}

impl ScriptedModel {
    /// Writes as fast as it is read.
    pub(crate) fn free() -> Self {
        Self::with_turns(Semaphore::MAX_PERMITS)
    }

    /// Writes a turn only when it is allowed.
    pub(crate) fn held() -> Self {
        Self::with_turns(0)
    }

    fn with_turns(turns: usize) -> Self {
        let info = ModelInfo {
            name: "scripted".into(),
            dialect: "deepmm".into(),
            about: "Follows a script.".into(),
            min_pixels: 28 * 28 * 4,
            max_pixels: 28 * 28 * 64,
            context: 4_096,
            adapters: vec!["tuned".into()],
        };
        Self { info, turns: Semaphore::new(turns) }
    }

    /// Allows `turns` more turns.
    pub(crate) fn allow(&self, turns: usize) {
        self.turns.add_permits(turns);
    }
}

#[async_trait]
impl Decoder for ScriptedModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let finish = tokio::select! {
            permit = self.turns.acquire() => { permit.unwrap().forget(); Finish::EndOfTurn }
            () = request.cancel.cancelled() => Finish::Cancelled,
        };
        let text = if finish == Finish::Cancelled { "" } else { turn(&request.messages) };
        for delta in text.as_bytes().chunks(7) {
            deltas.send(String::from_utf8(delta.to_vec()).unwrap()).ok();
        }
        Ok(Completion {
            text: text.to_owned(),
            generated_tokens: 5,
            first_token: Duration::from_millis(1),
            decoding: Duration::from_millis(1),
            ..Completion::nothing(finish, 10)
        })
    }
}

fn turn(messages: &[Message]) -> &'static str {
    let last = messages.last().map(words).unwrap_or_default();
    assert!(!last.contains("PANIC"), "the script asks for a panic");
    if last.contains("Locate:") {
        return r#"{"bbox_2d": [0, 0, 112, 112]}"#;
    }
    match messages.iter().filter(|message| message.role == Role::Assistant).count() {
        0 => "<reason>I need the flag on the left.</reason><img_search>the flag on the left</img_search>",
        1 => "<reason>It is Norway.</reason><text_search>capital of Norway</text_search>",
        _ => "<reason>Found.</reason><answer>Oslo</answer>",
    }
}

fn words(message: &Message) -> String {
    let text = |part: &Part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::Image(_) => None,
    };
    message.parts.iter().filter_map(text).collect()
}
