//! What drafts gain while questions are answered with real tools.

use std::sync::Arc;

use loupe_mllm::{Formats, Limits};
use loupe_search::local::Index;
use loupe_shared::protocol::Workflow;
use serde::Serialize;

use super::watched::{Asked, Watched};
use super::{after_the_first, token_seconds};
use crate::model::{ModelOptions, ModelSpec};

/// The same questions answered with drafts and without.
#[derive(Debug, Serialize)]
pub(super) struct DraftFigure {
    questions: usize,
    /// Tokens written after each turn's first, which no draft can spare.
    tokens: u32,
    /// Microseconds a token.
    plain_us: f64,
    drafted_us: f64,
    /// Turns that said something else.
    different_turns: usize,
}

pub(super) fn line(figure: &DraftFigure) -> String {
    let DraftFigure { questions, tokens, plain_us, drafted_us, different_turns } = figure;
    format!(
        "{questions} questions, {tokens} tokens: {plain_us:.0} us a token, {drafted_us:.0} us with drafts ({:.2}x); {different_turns} turns differ",
        plain_us / drafted_us
    )
}

/// Answers questions with both, one after the other.
pub(super) async fn drafts(model: &str, formats: Formats, asked: &Asked) -> anyhow::Result<DraftFigure> {
    let records = asked.records()?;
    let index = Arc::new(Index::open(&asked.index)?);
    let mut sides = Vec::new();
    for (formats, drafts) in [(formats.weights().into(), false), (formats, true)] {
        let limits = Limits { drafts, ..Limits::default() };
        let options = ModelOptions { formats, limits, ..ModelOptions::default() };
        let watched = Watched::new(ModelSpec::parse(model).open(options).await?);
        sides.push((watched.clone(), watched.agent(&index)?));
    }
    for record in &records {
        for (_, agent) in &sides {
            agent.score(record, asked.folder(), Workflow::Agent).await?;
        }
    }
    let [plain, drafted] = [0, 1].map(|side| sides[side].0.take());
    let different =
        plain.iter().zip(&drafted).filter(|((_, plain), (_, drafted))| plain.text != drafted.text);
    let different_turns = different.count() + plain.len().abs_diff(drafted.len());
    let [plain, drafted] =
        [&plain, &drafted].map(|turns| turns.iter().map(|(_, turn)| turn).collect::<Vec<_>>());
    Ok(DraftFigure {
        questions: records.len(),
        tokens: after_the_first(&plain),
        plain_us: token_seconds(&plain) * 1e6,
        drafted_us: token_seconds(&drafted) * 1e6,
        different_turns,
    })
}
