//! The likeliest continuation, for tests and the probe: plain loops over the model, with nothing remembered.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::lm::Choice;
use crate::model::{Positions, Qwen2_5Vl};

/// `count` tokens after a prompt of embeddings `[n, hidden]`; tokens that end a turn do not end it.
///
/// # Errors
/// [`Error::NotFinite`] when a score is not a number.
pub fn with_cache(
    model: &Qwen2_5Vl,
    embeds: &Tensor,
    positions: &Positions,
    count: usize,
) -> Result<Vec<u32>> {
    let mut cache = model.new_cache();
    let mut input = embeds.unsqueeze(0)?;
    let mut rotary = model.rotary(std::slice::from_ref(positions), positions.len())?;
    let mut position = positions.next();
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let hidden = model.forward(&input, &rotary, Some(&mut cache))?;
        let id = likeliest(model, &hidden)?;
        ids.push(id);
        input = model.embed(&Tensor::new(&[[id]], model.device())?)?;
        rotary = model.rotary(&[Positions::word(position)], 1)?;
        position += 1;
    }
    Ok(ids)
}

/// The same tokens, every one from a run over the whole sequence.
///
/// # Errors
/// [`Error::NotFinite`] when a score is not a number.
pub fn without_cache(
    model: &Qwen2_5Vl,
    embeds: &Tensor,
    positions: &Positions,
    count: usize,
) -> Result<Vec<u32>> {
    let mut input = embeds.unsqueeze(0)?;
    let mut positions = positions.clone();
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let rotary = model.rotary(std::slice::from_ref(&positions), positions.len())?;
        let id = likeliest(model, &model.forward(&input, &rotary, None)?)?;
        ids.push(id);
        input = Tensor::cat(&[&input, &model.embed(&Tensor::new(&[[id]], model.device())?)?], 1)?;
        positions.push_words(1);
    }
    Ok(ids)
}

fn likeliest(model: &Qwen2_5Vl, hidden: &Tensor) -> Result<u32> {
    let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?;
    let scores = model.logits(&last)?.flatten_all()?;
    Choice::default().of(&scores.to_vec1::<f32>()?).ok_or(Error::NotFinite)
}
