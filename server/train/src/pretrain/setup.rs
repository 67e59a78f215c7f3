//! What a run needs before its first step: tokenizer and chat encoding.

use std::path::Path;

use loupe_mllm::chat::{Chat, ChatTemplate, DEFAULT_TEMPLATE};
use loupe_mllm::config::VisionTokens;
use loupe_mllm::engine::Part;
use loupe_mllm::picture::Preprocessor;
use loupe_mllm::tokenizer::Tokenizer;

use crate::error::{Result, TrainError};
use crate::learn::example::{Example, ExampleSource, Turn};
use crate::place::write;
use crate::pretrain::recipe::Recipe;

/// The tokenizer's file in a run's folder.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// The tokenizer of the run: the one that is there, that of the run it starts from, or a new one.
pub(crate) fn tokenizer(recipe: &Recipe, source: &dyn ExampleSource, out: &Path) -> Result<Vec<u8>> {
    let path = out.join(TOKENIZER);
    if path.exists() {
        return std::fs::read(&path).map_err(TrainError::file(&path));
    }
    let json = match &recipe.start_from {
        Some(start) => {
            let path = start.join(TOKENIZER);
            std::fs::read(&path).map_err(TrainError::file(&path))?
        }
        None => {
            let examples = (0..recipe.tokenizer.examples).map(|index| source.example(index));
            let texts = examples.collect::<Result<Vec<_>>>()?.into_iter().flat_map(texts);
            crate::pretrain::tokenizer::train(texts, &recipe.tokenizer.whole, recipe.tokenizer.vocab)?
        }
    };
    write(&path, &json)?;
    Ok(json)
}

/// All words of an example.
fn texts(example: Example) -> Vec<String> {
    let mut texts = Vec::new();
    for turn in example.turns {
        match turn {
            Turn::Text { text, .. } => texts.push(text),
            Turn::Tokens { .. } | Turn::Reply { .. } => {}
            Turn::Message { message, .. } => {
                texts.extend(message.parts.into_iter().filter_map(|part| match part {
                    Part::Text(text) => Some(text),
                    Part::Image(_) => None,
                }));
            }
        }
    }
    texts
}

/// How the run's examples become tokens.
pub(crate) fn chat(recipe: &Recipe, tokenizer: &[u8], path: &Path) -> Result<Chat> {
    let inner = tokenizers::Tokenizer::from_bytes(tokenizer)
        .map_err(|error| TrainError::Tokenizer(format!("{}: {error}", path.display())))?;
    let tokenizer = Tokenizer::new(inner, path.to_owned());
    let image_token = id(&tokenizer, "<|image_pad|>")?;
    let template = ChatTemplate::new(DEFAULT_TEMPLATE.to_owned())?;
    Ok(Chat {
        tokenizer,
        template,
        preprocessor: Preprocessor::with_limits(recipe.pixel_limits()),
        image_token,
    })
}

/// Ids of the tokens that frame a picture.
pub(crate) fn vision_tokens(tokenizer: &Tokenizer) -> Result<VisionTokens> {
    Ok(VisionTokens {
        image: id(tokenizer, "<|image_pad|>")?,
        video: id(tokenizer, "<|video_pad|>")?,
        start: id(tokenizer, "<|vision_start|>")?,
        end: id(tokenizer, "<|vision_end|>")?,
    })
}

/// The id of a token that has to be there.
pub(crate) fn id(tokenizer: &Tokenizer, token: &str) -> Result<u32> {
    tokenizer.id(token).ok_or_else(|| TrainError::Tokenizer(format!("it has no token {token}")))
}
