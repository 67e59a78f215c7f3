//! What the agent needs of the server: a log, and crops.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError};
use loupe_shared::ids::CallId;
use loupe_shared::pixels::{Rect, Region, Rgb8, crop};
use loupe_shared::protocol::{CropBy, CropRequest, Event};

use super::live::LiveRun;
use crate::images::ImageFolder;
use crate::store::Store;

/// How long the browser has to cut and send a crop.
const CROP_WAIT: Duration = Duration::from_secs(3);

/// Carries one run for the agent.
#[derive(Debug)]
pub struct RunHost {
    run: Arc<LiveRun>,
    store: Store,
    images: ImageFolder,
}

impl RunHost {
    /// The host of `run`.
    #[must_use]
    pub fn new(run: Arc<LiveRun>, store: Store, images: ImageFolder) -> Self {
        Self { run, store, images }
    }

    /// Asks the browser; `None` when none is there, none answers in time, or what it sent cannot be read: the upload
    /// will do then.
    async fn ask_browser(&self, call_id: &CallId, region: Region) -> Result<Option<Crop>, HostError> {
        if !self.run.crops.has_browser() {
            return Ok(None);
        }
        let answer = self.run.crops.open(call_id);
        self.emit(Event::CropRequest(CropRequest { call_id: call_id.clone(), region })).await?;
        let answer = tokio::select! {
            answer = tokio::time::timeout(CROP_WAIT, answer) => answer,
            () = self.run.cancel.cancelled() => return Ok(None),
        };
        self.run.crops.close(call_id);
        let Ok(Ok(image_id)) = answer else { return Ok(None) };
        match self.images.load(&image_id).await {
            Ok(pixels) => Ok(Some(Crop { image_id, by: CropBy::Browser, pixels: Arc::new(pixels) })),
            Err(error) => {
                tracing::warn!(%error, %image_id, "the browser's crop is left out");
                Ok(None)
            }
        }
    }

    async fn cut_upload(&self, region: Region, uploaded: &Rgb8) -> Result<Crop, HostError> {
        let rect = Rect::of_region(&region, (uploaded.width(), uploaded.height())).map_err(cannot)?;
        let pixels = Arc::new(crop(uploaded, rect).map_err(cannot)?);
        let image_id = self.images.put_pixels(pixels.clone()).await.map_err(cannot)?;
        Ok(Crop { image_id, by: CropBy::Server, pixels })
    }
}

#[async_trait]
impl Host for RunHost {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        self.run.log.append(&event).await.map_err(cannot)
    }

    async fn crop(&self, call_id: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        let crop = match self.ask_browser(call_id, region).await? {
            Some(crop) => crop,
            None => self.cut_upload(region, uploaded).await?,
        };
        self.store.hold_image(&self.run.id, &crop.image_id).await.map_err(cannot)?;
        Ok(crop)
    }
}

fn cannot(error: impl std::fmt::Display) -> HostError {
    HostError(error.to_string())
}
