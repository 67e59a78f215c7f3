//! What drafts gain while questions are answered with real tools.

use std::sync::Arc;

use loupe_mllm::{Formats, Limits};
use loupe_search::local::Index;
use loupe_shared::protocol::Workflow;
use serde::Serialize;

use super::watched::{Asked, Watched};
use super::{after_the_first, token_seconds};
use crate::metrics;
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
    /// Tokens guessed from the prompt, and how many of them were right.
    from_prompt: [u64; 2],
    /// The same of the drafter.
    by_drafter: [u64; 2],
    /// Turns that said something else.
    different_turns: usize,
}

pub(super) fn line(figure: &DraftFigure) -> String {
    let DraftFigure { questions, tokens, plain_us, drafted_us, from_prompt, by_drafter, different_turns } =
        figure;
    let right = |[guessed, right]: &[u64; 2]| format!("{right} of {guessed} guesses");
    format!(
        "{questions} questions, {tokens} tokens: {plain_us:.0} us a token, {drafted_us:.0} us with drafts ({:.2}x); right are {} from the prompt and {} by a drafter; {different_turns} turns differ",
        plain_us / drafted_us,
        right(from_prompt),
        right(by_drafter)
    )
}

/// Answers questions with both, one after the other.
pub(super) async fn drafts(model: &str, formats: Formats, asked: &Asked) -> anyhow::Result<DraftFigure> {
    metrics::start()?;
    let before = guessed(&metrics::text());
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
    let after = guessed(&metrics::text());
    let since = |by: usize| std::array::from_fn(|nth| after[by][nth] - before[by][nth]);
    Ok(DraftFigure {
        questions: records.len(),
        tokens: after_the_first(&plain),
        plain_us: token_seconds(&plain) * 1e6,
        drafted_us: token_seconds(&drafted) * 1e6,
        from_prompt: since(0),
        by_drafter: since(1),
        different_turns,
    })
}

/// From the program's own figures, how many tokens were guessed from the prompt and by a drafter, and how many of them were
/// right.
fn guessed(figures: &str) -> [[u64; 2]; 2] {
    let count = |what: &str, by: &str| {
        let name = format!("loupe_engine_{what}_tokens_total{{by=\"{by}\"}} ");
        figures.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    };
    ["prompt", "drafter"].map(|by| ["drafted", "accepted"].map(|what| count(what, by)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_who_made_them() {
        let figures = "# TYPE loupe_engine_drafted_tokens_total counter\n\
            loupe_engine_drafted_tokens_total{by=\"drafter\"} 40\n\
            loupe_engine_drafted_tokens_total{by=\"prompt\"} 7\n\
            loupe_engine_accepted_tokens_total{by=\"drafter\"} 36\n";
        assert_eq!(guessed(figures), [[7, 0], [40, 36]]);
    }
}
