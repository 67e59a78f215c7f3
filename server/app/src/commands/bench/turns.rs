//! How much sooner the turns of real runs come to their first token because what came before is not read again.

use std::sync::Arc;

use loupe_mllm::engine::{Completion, Decoder, GenerateRequest, Part, Role};
use loupe_search::local::Index;
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::Workflow;
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::serve::spread;
use super::watched::{Asked, Watched};

/// The turns that are told about: the second and those that most runs have after it.
const TURNS: std::ops::RangeInclusive<usize> = 2..=4;

/// What the turns of that number were like.
#[derive(Debug, Serialize)]
pub(super) struct TurnFigure {
    turn: usize,
    /// How many runs had one.
    runs: usize,
    /// Mean tokens of its prompt.
    prompt_tokens: f64,
    /// Part of it that was new.
    new: f64,
    /// Median time to the first token and slowest of ten, in milliseconds.
    first_token_ms: [f64; 2],
    /// The same turns where nothing of their conversations was seen or read before.
    cold_first_token_ms: [f64; 2],
}

pub(super) fn line(figure: &TurnFigure) -> String {
    let TurnFigure { turn, runs, prompt_tokens, new, first_token_ms, cold_first_token_ms } = figure;
    let (new, [warm, slow], [cold, slow_cold]) = (new * 100.0, first_token_ms, cold_first_token_ms);
    format!(
        "turn {turn} of {runs} runs, {prompt_tokens:.0} tokens, {new:.0} % of them new: first token after {warm:.1} ms (slowest tenth {slow:.1}), {cold:.1} ms ({slow_cold:.1}) where nothing was read before: {:.0} %",
        warm / cold * 100.0
    )
}

/// Answers questions with tools, one after the other, and asks for their later turns once more under other pictures.
pub(super) async fn turns(decoder: Arc<dyn Decoder>, asked: &Asked) -> anyhow::Result<Vec<TurnFigure>> {
    let index = Arc::new(Index::open(&asked.index)?);
    let watched = Watched::new(decoder.clone());
    let agent = watched.agent(&index)?;
    let mut pairs = Vec::new();
    for record in asked.records()? {
        agent.score(&record, asked.folder(), Workflow::Agent).await?;
        for (request, warm) in watched.take() {
            let turn = number(&request);
            if TURNS.contains(&turn) {
                let cold = under_another_picture(request, turn as u8)?;
                let cold = decoder.generate(cold, unbounded_channel().0).await?;
                pairs.push((turn, warm, cold));
            }
        }
    }
    anyhow::ensure!(!pairs.is_empty(), "no question of {} took a second turn", asked.data.display());
    Ok(TURNS.filter_map(|turn| figure(turn, &pairs)).collect())
}

fn figure(turn: usize, pairs: &[(usize, Completion, Completion)]) -> Option<TurnFigure> {
    let pairs: Vec<_> = pairs.iter().filter(|(number, ..)| *number == turn).collect();
    let runs = pairs.len();
    if runs == 0 {
        return None;
    }
    let tokens: f64 = pairs.iter().map(|(_, warm, _)| f64::from(warm.prompt_tokens)).sum();
    let reused: f64 = pairs.iter().map(|(_, warm, _)| f64::from(warm.reused_tokens)).sum();
    Some(TurnFigure {
        turn,
        runs,
        prompt_tokens: tokens / runs as f64,
        new: 1.0 - reused / tokens,
        first_token_ms: spread(pairs.iter().map(|(_, warm, _)| warm.first_token).collect()),
        cold_first_token_ms: spread(pairs.iter().map(|(.., cold)| cold.first_token).collect()),
    })
}

/// Which turn of its conversation is asked for, from 1.
fn number(request: &GenerateRequest) -> usize {
    request.messages.iter().filter(|message| message.role == Role::Assistant).count() + 1
}

/// The same turn with a point of another colour in each picture, one for every turn, so that nothing of it is known.
fn under_another_picture(mut request: GenerateRequest, turn: u8) -> anyhow::Result<GenerateRequest> {
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::Image(picture) = part {
            let (width, height, mut data) = (picture.width(), picture.height(), picture.data().to_vec());
            data.iter_mut().take(1).for_each(|byte| *byte ^= turn);
            *picture = Arc::new(Rgb8::new(width, height, data)?);
        }
    }
    Ok(GenerateRequest { max_tokens: 1, cancel: CancellationToken::new(), ..request })
}
