//! Carries a run of the evaluation: counts searches, cuts crops from the picture.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError};
use loupe_shared::ids::{CallId, ImageId};
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{CropBy, Event, Tool};
use serde::Serialize;

use crate::atlas::crop::cut;

/// Searches of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Searches {
    /// By picture.
    pub image: u32,
    /// By words.
    pub text: u32,
    /// Of both, how many failed.
    pub failed: u32,
}

/// A host without a browser and without a store.
#[derive(Default)]
pub(super) struct EvalHost {
    searches: Mutex<Searches>,
}

impl EvalHost {
    pub(super) fn searches(&self) -> Searches {
        *self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Host for EvalHost {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ToolCall(call) if call.tool == Tool::ImageSearch => searches.image += 1,
            Event::ToolCall(_) => searches.text += 1,
            Event::ToolFailed(_) => searches.failed += 1,
            _ => {}
        }
        Ok(())
    }

    async fn crop(&self, _call: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        let pixels = cut(uploaded, &region).map_err(|error| HostError(error.to_string()))?;
        let image_id = ImageId::from_hash(blake3::hash(pixels.data()).as_bytes());
        Ok(Crop { image_id, by: CropBy::Server, pixels: Arc::new(pixels) })
    }
}
