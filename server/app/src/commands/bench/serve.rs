//! Time to the first token and throughput with several people at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use loupe_mllm::engine::{Completion, Decoder, GenerateRequest, Message, Part, Role, Sampling};
use loupe_shared::pixels::Rgb8;
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::token_seconds;

const FILLER: &str = "Neighbours, languages, currency and region of a country whose flag is in the picture. ";

/// What several people at once find.
#[derive(Debug, Serialize)]
pub(super) struct ServeFigure {
    people: usize,
    turns: usize,
    /// Tokens written per second, all together.
    tokens_per_second: f64,
    /// Mean time from one token of a turn to the next, in milliseconds.
    token_ms: f64,
    /// Median and slowest of ten, in milliseconds.
    first_turn_ms: [f64; 2],
    third_turn_ms: [f64; 2],
    /// The same third turn where nothing of its conversation was read before.
    cold_third_turn_ms: [f64; 2],
    /// Part of the third turn's prompt that was new.
    third_turn_new: f64,
    /// Part of all prompt tokens that was not computed again.
    reused: f64,
}

pub(super) fn line(figure: &ServeFigure) -> String {
    let ServeFigure { people, turns, tokens_per_second, token_ms, first_turn_ms, third_turn_ms, .. } = figure;
    let (cold, new, reused) = (figure.cold_third_turn_ms, figure.third_turn_new, figure.reused);
    format!(
        "{people} people, {turns} turns: {tokens_per_second:.0} tokens/s, {token_ms:.1} ms from one to the next; first token after {:.0} ms (slowest tenth {:.0}), in the third turn, {:.0} % of it new, {:.0} ms ({:.0}), {:.0} ms ({:.0}) where nothing of it was read before; {:.0} % of prompts reused",
        first_turn_ms[0],
        first_turn_ms[1],
        new * 100.0,
        third_turn_ms[0],
        third_turn_ms[1],
        cold[0],
        cold[1],
        reused * 100.0
    )
}

/// What is talked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    /// Conversations.
    pub(super) questions: usize,
    /// Tokens of an answer.
    pub(super) tokens: u32,
    /// Width and height of the picture that a conversation begins with; 0 where it has none.
    pub(super) picture: u32,
}

/// Conversations of three turns, `people` of them at a time.
pub(super) async fn serve(
    decoder: Arc<dyn Decoder>,
    people: usize,
    talk: Talk,
) -> anyhow::Result<ServeFigure> {
    let started = Instant::now();
    let numbers = 0..talk.questions;
    let conversations =
        at_a_time(people, numbers.map(|number| conversation(decoder.clone(), number, talk))).await?;
    let seconds = started.elapsed().as_secs_f64();
    // Their tokens do not count, so the clock has to be read before them.
    let had = conversations.iter().enumerate();
    let cold =
        at_a_time(people, had.map(|(number, had)| cold_turn(decoder.clone(), number, had, talk))).await?;
    let turns: Vec<&Completion> = conversations.iter().flat_map(|had| &had.turns).collect();
    let sum = |f: fn(&Completion) -> u32| turns.iter().map(|turn| f64::from(f(turn))).sum::<f64>();
    let new = |turn: &Completion| 1.0 - f64::from(turn.reused_tokens) / f64::from(turn.prompt_tokens.max(1));
    let wait = |turn: usize| spread(conversations.iter().map(|had| had.turns[turn].first_token).collect());
    Ok(ServeFigure {
        people,
        turns: turns.len(),
        tokens_per_second: sum(|turn| turn.generated_tokens) / seconds,
        token_ms: token_seconds(&turns) * 1e3,
        first_turn_ms: wait(0),
        third_turn_ms: wait(2),
        cold_third_turn_ms: spread(cold.iter().map(|turn| turn.first_token).collect()),
        third_turn_new: conversations.iter().map(|had| new(&had.turns[2])).sum::<f64>()
            / conversations.len() as f64,
        reused: sum(|turn| turn.reused_tokens) / sum(|turn| turn.prompt_tokens).max(1.0),
    })
}

/// Does so many things at a time; in any order.
async fn at_a_time<T>(
    people: usize,
    things: impl Iterator<Item = impl Future<Output = anyhow::Result<T>>>,
) -> anyhow::Result<Vec<T>> {
    futures::stream::iter(things).buffer_unordered(people).try_collect().await
}

/// A conversation of three turns.
struct Conversation {
    turns: [Completion; 3],
    /// What was said up to the third turn.
    messages: Vec<Message>,
}

async fn conversation(decoder: Arc<dyn Decoder>, number: usize, talk: Talk) -> anyhow::Result<Conversation> {
    let mut messages = vec![opening("Question", number, 2 * number, talk)?];
    let mut turns = Vec::with_capacity(3);
    for turn in 0..3 {
        if turn > 0 {
            messages.push(Message::text(Role::User, format!("And after that? {}", FILLER.repeat(2))));
        }
        let completion = decoder.generate(request(&messages, talk.tokens), unbounded_channel().0).await?;
        messages.push(Message::text(Role::Assistant, completion.text.clone()));
        turns.push(completion);
    }
    messages.pop();
    let turns = turns.try_into().ok().context("a conversation has three turns")?;
    Ok(Conversation { turns, messages })
}

/// The third turn once more, in a conversation that begins with another word and another picture.
async fn cold_turn(
    decoder: Arc<dyn Decoder>,
    number: usize,
    had: &Conversation,
    talk: Talk,
) -> anyhow::Result<Completion> {
    let mut messages = had.messages.clone();
    messages[0] = opening("Riddle", number, 2 * number + 1, talk)?;
    Ok(decoder.generate(request(&messages, 1), unbounded_channel().0).await?)
}

/// What a conversation begins with: words that are like no other's, and such a picture where there is to be one.
fn opening(word: &str, number: usize, pictured: usize, talk: Talk) -> anyhow::Result<Message> {
    let mut message = Message::text(Role::User, format!("{word} {number}: {}", FILLER.repeat(8)));
    if talk.picture > 0 {
        message.parts.insert(0, picture(talk.picture, pictured)?);
    }
    Ok(message)
}

/// A picture that is like no other: stripes that begin with its number.
fn picture(side: u32, number: usize) -> anyhow::Result<Part> {
    let bytes = 3 * side as usize * side as usize;
    let mut data: Vec<u8> = (0..bytes).map(|at| (at / 7 % 251) as u8).collect();
    for (byte, of_number) in data.iter_mut().zip(number.to_le_bytes()) {
        *byte = of_number;
    }
    Ok(Part::Image(Arc::new(Rgb8::new(side, side, data)?)))
}

pub(super) fn request(messages: &[Message], max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        messages: messages.to_vec(),
        sampling: Sampling::Greedy,
        max_tokens,
        stop: Vec::new(),
        adapter: None,
        grammar: None,
        cancel: CancellationToken::new(),
    }
}

/// The median and the slowest tenth, in milliseconds.
pub(super) fn spread(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort();
    let at = |part: usize| {
        times
            .get((times.len() * part / 10).min(times.len().saturating_sub(1)))
            .map_or(0.0, Duration::as_secs_f64)
    };
    [at(5) * 1e3, at(9) * 1e3]
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use loupe_mllm::engine::{EngineError, Finish, ModelInfo};
    use tokio::sync::mpsc::UnboundedSender;

    use super::*;

    /// Remembers how many tokens were asked for, and takes long where it is one.
    struct Clerk {
        info: ModelInfo,
        asked: Mutex<Vec<u32>>,
    }

    const LONG: Duration = Duration::from_millis(300);

    #[async_trait]
    impl Decoder for Clerk {
        fn info(&self) -> &ModelInfo {
            &self.info
        }

        async fn generate(
            &self,
            request: GenerateRequest,
            _deltas: UnboundedSender<String>,
        ) -> Result<Completion, EngineError> {
            self.asked.lock().unwrap().push(request.max_tokens);
            if request.max_tokens == 1 {
                tokio::time::sleep(LONG).await;
            }
            let generated_tokens = request.max_tokens;
            Ok(Completion { generated_tokens, ..Completion::nothing(Finish::Length, 10) })
        }
    }

    #[tokio::test]
    async fn the_clock_stops_before_the_cold_turns() {
        let info = ModelInfo {
            name: "clerk".into(),
            dialect: "deepmm".into(),
            about: String::new(),
            min_pixels: 1,
            max_pixels: 1,
            context: 100,
            adapters: Vec::new(),
        };
        let clerk = Arc::new(Clerk { info, asked: Mutex::default() });
        let talk = Talk { questions: 2, tokens: 8, picture: 0 };
        let figure = serve(clerk.clone(), 2, talk).await.unwrap();
        assert_eq!(*clerk.asked.lock().unwrap(), [8, 8, 8, 8, 8, 8, 1, 1]);
        assert_eq!((figure.people, figure.turns), (2, 6));
        assert!(figure.tokens_per_second > 48.0 / LONG.as_secs_f64(), "{figure:?}");
    }
}
