//! A conversation's embeddings, as far as they are not in the cache.

use std::ops::Range;

use candle_core::Tensor;

use super::memory::{Key, Memory};
use crate::chat::{Chat, Encoded, EncodedPicture};
use crate::error::Result;
use crate::loaded::Loaded;
use crate::model::{KvCache, Qwen2_5Vl, splice};

/// Tokens that are run through the decoder together: bounds memory and the wait for a cancellation.
const CHUNK: usize = 512;

/// Runs what the cache lacks of a conversation; gives the last token's scores `[vocab]`, or nothing when `stopped`
/// said so between two parts.
pub(super) fn prefill(
    loaded: &Loaded,
    memory: &mut Memory,
    encoded: &Encoded,
    key: &Key,
    cache: &mut KvCache,
    stopped: impl Fn() -> bool,
) -> Result<Option<Tensor>> {
    let model = &loaded.model;
    let positions = encoded.positions(loaded.chat.image_token)?;
    let mut last = None;
    while cache.len() < encoded.ids.len() {
        if stopped() {
            return Ok(None);
        }
        let range = cache.len()..(cache.len() + CHUNK).min(encoded.ids.len());
        let embeds = embed(loaded, memory, encoded, key, &range)?;
        let rotary = model.rotary(&[positions.slice(range.clone())], range.len())?;
        let hidden = model.forward(&embeds.unsqueeze(0)?, &rotary, Some(cache))?;
        last = Some(hidden.narrow(1, range.len() - 1, 1)?);
    }
    Ok(last.map(|hidden| scores(model, &hidden)).transpose()?)
}

/// Scores `[vocab]` of the token after a single hidden state.
pub(super) fn scores(model: &Qwen2_5Vl, hidden: &Tensor) -> candle_core::Result<Tensor> {
    model.logits(hidden)?.flatten_all()
}

/// Embeddings `[t, hidden]` of a range of tokens, pictures in their places.
fn embed(
    loaded: &Loaded,
    memory: &mut Memory,
    encoded: &Encoded,
    key: &Key,
    range: &Range<usize>,
) -> Result<Tensor> {
    let ids = &encoded.ids[range.clone()];
    let words = loaded.model.embed(&Tensor::new(ids, loaded.model.device())?)?;
    let mut parts = Vec::new();
    for (picture, (_, hash)) in encoded.pictures.iter().zip(&key.pictures) {
        let (from, to) = (picture.tokens.start.max(range.start), picture.tokens.end.min(range.end));
        if from >= to {
            continue;
        }
        let seen = memory.picture(*hash, || see(&loaded.chat, &loaded.model, picture))?;
        parts.push(seen.narrow(0, from - picture.tokens.start, to - from)?);
    }
    if parts.is_empty() {
        return Ok(words);
    }
    let is_image: Vec<bool> = ids.iter().map(|id| *id == loaded.chat.image_token).collect();
    Ok(splice(&words, &Tensor::cat(&parts, 0)?, &is_image)?)
}

fn see(chat: &Chat, model: &Qwen2_5Vl, picture: &EncodedPicture) -> Result<Tensor> {
    let (patches, grids) = chat.preprocessor.pixel_values([picture.pixels.as_ref()], model.device())?;
    Ok(model.vision(&patches, &grids)?)
}
