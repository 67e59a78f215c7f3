//! What it costs to hold a turn to a grammar.

use std::path::Path;

use anyhow::Context;
use loupe_agent::dialect::{self, Action, Choices, QueryContext};
use loupe_mllm::bench::{self, GrammarFigure};
use loupe_mllm::checkpoint::read_config;
use loupe_mllm::tokenizer::{MESSAGE_END, Tokenizer};

use crate::model::ModelSpec;

/// A turn of the dialect `deepmm`, as a model writes it.
pub(super) fn grammar(model: &str, tokenizer: Option<&Path>, runs: usize) -> anyhow::Result<GrammarFigure> {
    let dialect = dialect::by_name("deepmm")?;
    let reason = "The flag on the left is red with a blue cross. The page says that it is Norway's, so I look \
                  for the capital of Norway and read what it says.";
    let actions = [Action::Reason(reason.into()), Action::TextSearch("capital of Norway".into())];
    let context = QueryContext::default();
    let choices = Choices { image_search: true, text_search: true };
    let (grammar, turn) = (dialect.grammar(choices, &context), dialect.render(&actions, &context));
    let files = ModelSpec::parse(model).files()?;
    let tokenizer = match tokenizer {
        Some(file) => Tokenizer::read(&std::fs::read(file)?, file.to_owned())?,
        None => Tokenizer::open(&files, &read_config(&files)?)?,
    };
    let end = tokenizer.id(MESSAGE_END).context("no token ends a turn")?;
    Ok(bench::grammar(&tokenizer, &[end], &grammar, &turn, runs)?)
}

pub(super) fn line(figure: &GrammarFigure) -> String {
    let GrammarFigure { vocabulary, tokens, token_us, slowest_us } = figure;
    format!(
        "a turn of {tokens} tokens among {vocabulary}: {token_us:.0} us a token for the grammar, the slowest {slowest_us:.0} us"
    )
}
