//! The engine over a model that is to be measured: a checkpoint, or random weights with the pocket's words.

use std::sync::Arc;

use anyhow::Context;
use loupe_mllm::bench;
use loupe_mllm::engine::Decoder;
use loupe_mllm::{Adapters, Engine, Formats, Loaded, Processor, Served};

use super::{RANDOM, random_config};
use crate::model::{ModelOptions, ModelSpec};

/// Blocks of the vision tower of a random model that no picture is shown to.
const NO_EYE: usize = 1;

/// Opens a model for callers, who show it pictures of `picture` points a side, or none where that is 0.
pub(super) async fn decoder(
    model: &str,
    formats: Formats,
    on: Processor,
    layers: Option<usize>,
    picture: u32,
) -> anyhow::Result<Arc<dyn Decoder>> {
    let options = ModelOptions { formats, device: on, ..ModelOptions::default() };
    if !model.starts_with(RANDOM) {
        return Ok(ModelSpec::parse(model).open(options).await?);
    }
    let blocks = if picture == 0 { NO_EYE } else { bench::TOWER_BLOCKS };
    let loaded = random(model, formats, on, layers, blocks)?;
    Ok(Arc::new(Engine::start(loaded, options.limits).context("the model cannot be started")?))
}

/// Random weights of that shape, but for as many words as the pocket model knows, whose tokenizer and template it takes.
fn random(
    model: &str,
    formats: Formats,
    on: Processor,
    layers: Option<usize>,
    blocks: usize,
) -> anyhow::Result<Loaded<Served>> {
    let mut config = random_config(model, layers)?;
    let context = config.text.max_positions;
    let loaded = Loaded::open_as(&ModelSpec::Pocket.files()?, |pocket, _weights| {
        config.text.vocab_size = pocket.text.vocab_size;
        Ok(Served {
            language: bench::random(&config.text, config.tied, formats, on)?,
            vision: bench::random_eye(config.text.hidden_size, blocks, on)?,
            adapters: Adapters::default(),
        })
    })?;
    Ok(Loaded { context, ..loaded })
}
