//! Every intermediate value of one user turn, to be held against another implementation.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use loupe_shared::pixels::Rgb8;

use crate::config::vision::PATCH_VALUES;
use crate::decode::greedy;
use crate::engine::{Message, Part, Role};
use crate::error::{Error, Result};
use crate::loaded::Loaded;
use crate::model::{Grid, Positions, splice};

/// What the model makes of a conversation. Integers are i64 and numbers f32, as transformers has them.
#[derive(Debug, Clone)]
pub struct Probe {
    /// `[n]`, pictures expanded.
    pub input_ids: Tensor,
    /// `[3, n]`: time, row, column.
    pub position_ids: Tensor,
    /// `[patches, 1176]`, the pictures one after the other.
    pub pixel_values: Tensor,
    /// `[images, 3]`: frames, patch rows, patch columns.
    pub image_grid_thw: Tensor,
    /// `[tokens, hidden]`: the merger's output.
    pub vision_embeds: Tensor,
    /// `[n, vocab]`.
    pub logits: Tensor,
    /// `[count]`: the likeliest continuation; tokens that end a turn do not end it.
    pub generated: Tensor,
}

/// Probes one user turn: the pictures, then the text, with the assistant's turn opened.
///
/// # Errors
/// When a picture or the text cannot be encoded, or a score is not a number.
pub fn run(loaded: &Loaded, pictures: &[Arc<Rgb8>], text: &str, generate: usize) -> Result<Probe> {
    let pictures = pictures.iter().cloned().map(Part::Image);
    let parts = pictures.chain([Part::Text(text.to_owned())]).collect();
    of_messages(loaded, &[Message { role: Role::User, parts }], generate)
}

/// Probes a conversation, with the assistant's turn opened.
///
/// # Errors
/// As for [`run`].
pub fn of_messages(loaded: &Loaded, messages: &[Message], generate: usize) -> Result<Probe> {
    let (model, device) = (&loaded.model, &Device::Cpu);
    let encoded = loaded.chat.encode(messages, true)?;
    let positions = encoded.positions(loaded.chat.image_token)?;
    let pixels = encoded.pictures.iter().map(|picture| picture.pixels.as_ref());
    let (pixel_values, grids) = loaded.chat.preprocessor.pixel_values(pixels, model.device())?;

    let mut embeds = model.embed(&Tensor::new(encoded.ids.as_slice(), model.device())?)?;
    let mut vision_embeds =
        Tensor::zeros((0, model.config().text.hidden_size), candle_core::DType::F32, device)?;
    if !grids.is_empty() {
        vision_embeds = model.vision(&pixel_values, &grids)?;
        let is_image: Vec<bool> = encoded.ids.iter().map(|id| *id == loaded.chat.image_token).collect();
        embeds = splice(&embeds, &vision_embeds, &is_image)?;
    }
    let rotary = model.rotary(std::slice::from_ref(&positions), positions.len())?;
    let hidden = model.forward(&embeds.unsqueeze(0)?, &rotary, None)?;
    let generated = greedy::with_cache(model, &embeds, &positions, generate)?;
    Ok(Probe {
        input_ids: integers(&encoded.ids, encoded.ids.len())?,
        position_ids: position_ids(&positions)?,
        pixel_values: pixel_values.reshape(((), PATCH_VALUES))?,
        image_grid_thw: grid_thw(&grids)?,
        vision_embeds,
        logits: model.logits(&hidden.squeeze(0)?)?,
        generated: integers(&generated, generate)?,
    })
}

fn integers<S: Into<candle_core::Shape>>(values: &[u32], shape: S) -> Result<Tensor> {
    let values: Vec<i64> = values.iter().copied().map(i64::from).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

fn position_ids(positions: &Positions) -> Result<Tensor> {
    integers(&positions.rows().concat(), (3, positions.len()))
}

fn grid_thw(grids: &[Grid]) -> Result<Tensor> {
    let values: Vec<i64> = grids.iter().flat_map(|grid| grid.thw()).map(|side| side as i64).collect();
    Ok(Tensor::from_vec(values, (grids.len(), 3), &Device::Cpu)?)
}

impl Probe {
    /// Writes all values into one safetensors file under their field names.
    ///
    /// # Errors
    /// [`Error::Write`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors: HashMap<&str, Tensor> = HashMap::from([
            ("input_ids", self.input_ids.clone()),
            ("position_ids", self.position_ids.clone()),
            ("pixel_values", self.pixel_values.clone()),
            ("image_grid_thw", self.image_grid_thw.clone()),
            ("vision_embeds", self.vision_embeds.clone()),
            ("logits", self.logits.clone()),
            ("generated", self.generated.clone()),
        ]);
        candle_core::safetensors::save(&tensors, path)
            .map_err(|error| Error::Write { file: path.to_owned(), problem: error.to_string() })
    }
}
