//! Time to the first token and throughput with several people at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use loupe_mllm::engine::{Completion, Decoder, GenerateRequest, Message, Part, Role, Sampling};
use loupe_shared::pixels::Rgb8;
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// What several people at once find.
#[derive(Debug, Serialize)]
pub(super) struct ServeFigure {
    people: usize,
    turns: usize,
    /// Tokens written per second, all together.
    tokens_per_second: f64,
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
    let ServeFigure { people, turns, tokens_per_second, first_turn_ms, third_turn_ms, .. } = figure;
    let (cold, new, reused) = (figure.cold_third_turn_ms, figure.third_turn_new, figure.reused);
    format!(
        "{people} people, {turns} turns: {tokens_per_second:.0} tokens/s; first token after {:.0} ms (slowest tenth {:.0}), in the third turn, {:.0} % of it new, {:.0} ms ({:.0}), {:.0} ms ({:.0}) where nothing of it was read before; {:.0} % of prompts reused",
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
    let conversations = futures::stream::iter(0..talk.questions)
        .map(|number| conversation(decoder.clone(), number, talk))
        .buffer_unordered(people)
        .collect::<Vec<_>>()
        .await;
    let seconds = started.elapsed().as_secs_f64();
    let conversations = conversations.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let turns: Vec<&Completion> = conversations.iter().flat_map(|turns| &turns[..3]).collect();
    let sum = |f: fn(&Completion) -> u32| turns.iter().map(|turn| f64::from(f(turn))).sum::<f64>();
    let new = |turn: &Completion| 1.0 - f64::from(turn.reused_tokens) / f64::from(turn.prompt_tokens.max(1));
    let wait = |turn: usize| spread(conversations.iter().map(|turns| turns[turn].first_token).collect());
    Ok(ServeFigure {
        people,
        turns: turns.len(),
        tokens_per_second: sum(|turn| turn.generated_tokens) / seconds,
        first_turn_ms: wait(0),
        third_turn_ms: wait(2),
        cold_third_turn_ms: wait(3),
        third_turn_new: conversations.iter().map(|turns| new(&turns[2])).sum::<f64>()
            / conversations.len() as f64,
        reused: sum(|turn| turn.reused_tokens) / sum(|turn| turn.prompt_tokens).max(1.0),
    })
}

/// Three turns, and the third once more in a conversation that begins with another word and another picture.
async fn conversation(
    decoder: Arc<dyn Decoder>,
    number: usize,
    talk: Talk,
) -> anyhow::Result<[Completion; 4]> {
    let filler = "Neighbours, languages, currency and region of a country whose flag is in the picture. ";
    let first = |word: &str, shade: usize| {
        let mut message = Message::text(Role::User, format!("{word} {number}: {}", filler.repeat(8)));
        if talk.picture > 0 {
            message.parts.insert(0, picture(talk.picture, 2 * number + shade)?);
        }
        anyhow::Ok(message)
    };
    let mut messages = vec![first("Question", 0)?];
    let mut turns = Vec::with_capacity(4);
    for turn in 0..3 {
        if turn > 0 {
            messages.push(Message::text(Role::User, format!("And after that? {}", filler.repeat(2))));
        }
        let completion = decoder.generate(request(&messages, talk.tokens), unbounded_channel().0).await?;
        messages.push(Message::text(Role::Assistant, completion.text.clone()));
        turns.push(completion);
    }
    messages.pop();
    messages[0] = first("Riddle", 1)?;
    turns.push(decoder.generate(request(&messages, 1), unbounded_channel().0).await?);
    turns.try_into().ok().context("a conversation has three turns and a cold one")
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
