//! How long a long prompt keeps others waiting: somebody writes, somebody else asks with a long prompt, a third with a
//! short one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loupe_mllm::engine::{Completion, Decoder, EngineError, GenerateRequest, Message, Role};
use loupe_mllm::grammar::Grammar;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::serve::{request, spread};

/// Tokens that are written before the long prompt comes.
const BEFORE: usize = 8;
/// What the writer is held to, so that it goes on: words, and an end that no model thinks of.
const WORDS: &str = r#"start: /[a-z ]+/ "~~~~~~~~""#;

/// What they find, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct StallFigure {
    /// Tokens of the long prompt.
    prompt_tokens: u32,
    /// Of the short one.
    short_tokens: u32,
    /// Median time between two tokens of the writer, alone.
    interval_ms: f64,
    /// Median and longest time between two tokens while the long prompt is read.
    interval_beside_ms: [f64; 2],
    /// How many such times there are.
    intervals_beside: usize,
    /// From the long prompt to its first token, where nobody writes and beside the others.
    first_token_ms: [f64; 2],
    /// From the short prompt, asked right after the long one, to its first token.
    short_first_token_ms: f64,
    /// From the cancellation of a long prompt that is read alone to its end.
    cancel_ms: f64,
}

pub(super) fn line(figure: &StallFigure) -> String {
    let StallFigure { prompt_tokens, short_tokens, interval_ms, interval_beside_ms: beside, .. } = figure;
    let times = figure.intervals_beside;
    let (first, short, cancel) = (figure.first_token_ms, figure.short_first_token_ms, figure.cancel_ms);
    format!(
        "a prompt of {prompt_tokens} tokens: first token after {:.0} ms, {:.0} ms beside others; who writes meanwhile has a token every {interval_ms:.0} ms, then every {:.0} ms, at most {:.0} ({times} of them); a question of {short_tokens} tokens right after it has its first after {short:.0} ms; cancelled within {cancel:.0} ms",
        first[0], first[1], beside[0], beside[1]
    )
}

/// Measures with a prompt of about `tokens`.
pub(super) async fn stall(decoder: Arc<dyn Decoder>, tokens: usize) -> anyhow::Result<StallFigure> {
    // Whatever is learnt of the machine first is learnt here.
    let alone = ask(&decoder, &long(tokens, "Once"), 1).await?;
    let cancel_ms = cancel(&decoder, &long(tokens, "Never"), alone.first_token / 2).await?;
    let (sender, mut deltas) = unbounded_channel();
    let stop = CancellationToken::new();
    let writer = write(&decoder, sender, stop.clone());
    let others = async {
        let before = intervals(&mut deltas, BEFORE).await;
        let _stop = stop.drop_guard();
        let prompt = long(tokens, "Then");
        let short = said("Which one?");
        let questions = async {
            let long = ask(&decoder, &prompt, 1);
            let short = async {
                // Right after the long one has begun.
                tokio::time::sleep(Duration::from_millis(50)).await;
                ask(&decoder, &short, 1).await
            };
            tokio::try_join!(long, short)
        };
        tokio::pin!(questions);
        let (mut during, mut last) = (Vec::new(), Instant::now());
        let asked = loop {
            let asked = tokio::select! {
                asked = &mut questions => Some(asked?),
                Some(_) = deltas.recv() => None,
            };
            // The last one may not have come to its end: it counts as far as it went.
            during.push(last.elapsed());
            last = Instant::now();
            if let Some(asked) = asked {
                break asked;
            }
        };
        Ok::<_, EngineError>((before, during, asked))
    };
    let (ended, others) = tokio::join!(writer, others);
    ended?;
    let (before, during, (beside, short)) = others?;
    let longest = during.iter().max().copied().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(StallFigure {
        prompt_tokens: beside.prompt_tokens,
        short_tokens: short.prompt_tokens,
        interval_ms: spread(before)[0],
        intervals_beside: during.len(),
        interval_beside_ms: [spread(during)[0], ms(longest)],
        first_token_ms: [ms(alone.first_token), ms(beside.first_token)],
        short_first_token_ms: ms(short.first_token),
        cancel_ms,
    })
}

/// Writes until it is stopped, one turn after the other.
async fn write(
    decoder: &Arc<dyn Decoder>,
    deltas: UnboundedSender<String>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let said = [said("Who writes?")];
    while !stop.is_cancelled() {
        let (cancel, grammar) = (stop.child_token(), Some(Grammar::lark(WORDS)));
        let turn = GenerateRequest { cancel, grammar, ..request(&said, u32::MAX) };
        decoder.generate(turn, deltas.clone()).await?;
    }
    Ok(())
}

async fn ask(decoder: &Arc<dyn Decoder>, said: &Message, tokens: u32) -> Result<Completion, EngineError> {
    decoder.generate(request(std::slice::from_ref(said), tokens), unbounded_channel().0).await
}

/// Milliseconds from a cancellation `after` a prompt was asked to the turn's end.
async fn cancel(decoder: &Arc<dyn Decoder>, said: &Message, after: Duration) -> Result<f64, EngineError> {
    let request = request(std::slice::from_ref(said), 1);
    let cancel = request.cancel.clone();
    let cancelled = async {
        tokio::time::sleep(after).await;
        cancel.cancel();
        Instant::now()
    };
    let (ended, at) = tokio::join!(decoder.generate(request, unbounded_channel().0), cancelled);
    ended?;
    Ok(at.elapsed().as_secs_f64() * 1e3)
}

/// Times between the next `count` pieces and those before them.
async fn intervals(deltas: &mut UnboundedReceiver<String>, count: usize) -> Vec<Duration> {
    let mut last = Instant::now();
    let mut times = Vec::with_capacity(count);
    while times.len() < count && deltas.recv().await.is_some() {
        times.push(last.elapsed());
        last = Instant::now();
    }
    times
}

fn long(tokens: usize, first: &str) -> Message {
    // The pocket's words are short: about a token each.
    said(&format!("{first} {}", "and the country ".repeat(tokens.div_ceil(3))))
}

fn said(words: &str) -> Message {
    Message::text(Role::User, words.to_owned())
}
