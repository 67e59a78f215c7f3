//! One turn of the model, streamed as it is written.

use std::sync::Arc;
use std::time::Duration;

use loupe_mllm::engine::{Completion, EngineError, GenerateRequest};
use loupe_shared::protocol::{Event, TextDelta};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::{Halt, Run};
use crate::dialect::{Choices, ParsedTurn, Parser, ParserEvent};
use crate::information::plain_within;

/// How long a decoder may take to stop when the time is over.
const GRACE: Duration = Duration::from_secs(5);
/// How much of a turn that cannot be used is shown to the model again.
const MALFORMED_CHARS: usize = 600;

/// A turn of the model.
#[derive(Debug)]
pub(super) struct Turn {
    /// What it did.
    pub(super) parsed: ParsedTurn,
    text: String,
}

/// A turn while it is written.
pub(super) struct Reading {
    parser: Box<dyn Parser>,
    turn: Turn,
}

impl Run<'_> {
    /// Decodes the next turn, in which the model has these choices, and emits what it reasons and answers. A turn that runs out of time ends where it is.
    pub(super) async fn decode(&mut self, choices: Choices, last: bool) -> Result<Turn, Halt> {
        let turn = Turn { parsed: ParsedTurn::default(), text: String::new() };
        let mut reading = Reading { parser: self.dialect().parser(&self.context), turn };
        let request = GenerateRequest {
            messages: self.messages.clone(),
            sampling: self.agent.config.sampling,
            adapter: self.query.adapter.clone(),
            max_tokens: self.spent.turn_tokens(last),
            stop: self.dialect().stop(),
            grammar: self.query.constrain.then(|| self.dialect().grammar(choices, &self.context)),
            cancel: self.cancel.child_token(),
        };
        let deadline = self.spent.deadline(last).into();
        let completion = self.generate(request, deadline, Some(&mut reading)).await?;
        if let Some(rest) = completion.as_ref().and_then(|whole| whole.text.strip_prefix(&reading.turn.text))
        {
            self.read(&mut reading, rest).await?;
        }
        let events = reading.parser.finish();
        self.tell(&mut reading.turn.parsed, events).await?;
        Ok(reading.turn)
    }

    /// Decodes, with the text going to `reading` where there is one. None when the decoder did not even stop after the
    /// deadline.
    pub(super) async fn generate(
        &mut self,
        request: GenerateRequest,
        deadline: Instant,
        mut reading: Option<&mut Reading>,
    ) -> Result<Option<Completion>, Halt> {
        let (cancel, stop) = (self.cancel.clone(), request.cancel.clone());
        let decoder = Arc::clone(&self.agent.decoder);
        let asked = std::time::Instant::now();
        let (sender, mut deltas) = unbounded_channel();
        let mut generating = decoder.generate(request, sender);
        let mut alarm = std::pin::pin!(sleep_until(deadline));
        let result: Result<Completion, EngineError> = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Halt::Cancelled),
                Some(delta) = deltas.recv() => {
                    if let Some(reading) = reading.as_deref_mut() {
                        let text = with_waiting(delta, &mut deltas);
                        self.read(reading, &text).await?;
                    }
                }
                result = &mut generating => break result,
                () = &mut alarm => {
                    if stop.is_cancelled() {
                        tracing::warn!("the decoder did not stop within {} s", GRACE.as_secs());
                        return Ok(None);
                    }
                    stop.cancel();
                    alarm.as_mut().reset(Instant::now() + GRACE);
                }
            }
        };
        let completion = result?;
        self.spent.add_tokens(completion.generated_tokens);
        self.meter.add(&completion, self.spent.began(), asked);
        Ok(Some(completion))
    }

    async fn read(&self, reading: &mut Reading, text: &str) -> Result<(), Halt> {
        reading.turn.text.push_str(text);
        let events = reading.parser.push(text);
        self.tell(&mut reading.turn.parsed, events).await
    }

    async fn tell(&self, parsed: &mut ParsedTurn, events: Vec<ParserEvent>) -> Result<(), Halt> {
        for event in &events {
            match event {
                ParserEvent::ReasonDelta(text) => self.emit(Event::ReasonDelta(delta(text))).await?,
                ParserEvent::AnswerDelta(text) => self.emit(Event::AnswerDelta(delta(text))).await?,
                ParserEvent::ActionComplete(_) | ParserEvent::Problem(_) => {}
            }
        }
        parsed.take(events);
        Ok(())
    }

    /// The turn as the conversation keeps it. Word for word where it is valid, so that its keys and values stay good;
    /// rendered anew where it was repaired; without any tag where it could not be used, so that a tool's result that
    /// the model made up is not there the next time.
    pub(super) fn as_kept(&self, turn: &Turn) -> String {
        let ParsedTurn { actions, problems } = &turn.parsed;
        if problems.is_empty() {
            return turn.text.trim().to_owned();
        }
        if turn.parsed.deed().is_ok() {
            return self.dialect().render(actions, &self.context);
        }
        plain_within(&turn.text, MALFORMED_CHARS)
    }
}

fn delta(text: &str) -> TextDelta {
    TextDelta { text: text.to_owned() }
}

/// What has arrived by now, as one piece: fewer events where the reader is slower than the model.
fn with_waiting(mut delta: String, deltas: &mut UnboundedReceiver<String>) -> String {
    while let Ok(more) = deltas.try_recv() {
        delta.push_str(&more);
    }
    delta
}
