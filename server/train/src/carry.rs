//! What everything shares that carries runs of the agent without a browser: evaluation, teacher, reinforcement.

use std::sync::Arc;

use loupe_agent::dialect::Dialect;
use loupe_agent::host::{Crop, HostError};
use loupe_mllm::engine::{Message, Part};
use loupe_shared::ids::ImageId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::CropBy;

use crate::atlas::crop::cut;

/// A crop, cut from the picture that the agent was given.
pub(crate) fn crop(region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
    let pixels = cut(uploaded, &region).map_err(|error| HostError(error.to_string()))?;
    let image_id = ImageId::from_hash(blake3::hash(pixels.data()).as_bytes());
    Ok(Crop { image_id, by: CropBy::Server, pixels: Arc::new(pixels) })
}

/// Whether a decode only asks where something is: that is no turn of the agent's conversation.
pub(crate) fn asks_for_box(dialect: &dyn Dialect, messages: &[Message]) -> bool {
    let prompt = dialect.grounding_prompt("");
    let is_prompt = |part: &Part| matches!(part, Part::Text(text) if text.starts_with(prompt.trim_end()));
    messages.last().is_some_and(|last| last.parts.iter().any(is_prompt))
}
