//! What a run needs from whoever carries it: the server, the command line, the evaluation.

use std::sync::Arc;

use async_trait::async_trait;
use loupe_shared::ids::{CallId, ImageId};
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{CropBy, Event, ImageRole, Workflow};

/// A picture of a query, decoded and upright.
#[derive(Debug, Clone)]
pub struct QueryPicture {
    /// Content hash of the uploaded bytes.
    pub image_id: ImageId,
    /// The whole or the framed part.
    pub role: ImageRole,
    /// Where a framed part lies in the whole.
    pub region: Option<Region>,
    /// The pixels.
    pub pixels: Arc<Rgb8>,
}

/// An earlier question of the same conversation.
#[derive(Debug, Clone)]
pub struct EarlierTurn {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// What a run is to answer. The whole picture comes first, when there is one.
#[derive(Debug, Clone)]
pub struct Query {
    /// The question.
    pub question: String,
    /// Its pictures.
    pub pictures: Vec<QueryPicture>,
    /// What was asked and answered before, oldest first.
    pub earlier: Vec<EarlierTurn>,
    /// How to answer.
    pub workflow: Workflow,
    /// The name of the adapter that the model answers with; the model alone where none is given.
    pub adapter: Option<Arc<str>>,
    /// BCP 47 tag of the language to answer in.
    pub lang: Option<String>,
    /// Whether every turn is held to the dialect's grammar while it is decoded.
    pub constrain: bool,
}

/// The crop that a search uses.
#[derive(Debug, Clone)]
pub struct Crop {
    /// Content hash of the stored crop.
    pub image_id: ImageId,
    /// Who cut it.
    pub by: CropBy,
    /// The pixels.
    pub pixels: Arc<Rgb8>,
}

/// The run's events could not be kept, so the run must end.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the run's log cannot be written: {0}")]
pub struct HostError(pub String);

/// Whoever carries a run.
#[async_trait]
pub trait Host: Send + Sync {
    /// Keeps one event, then delivers it. The host adds sequence number and time.
    ///
    /// # Errors
    /// [`HostError`] when the event could not be stored; the run then ends.
    async fn emit(&self, event: Event) -> Result<(), HostError>;

    /// Gets the crop of `region` from the first picture: from the browser's original where one is attached
    /// (emitting `crop.request` and waiting a few seconds), else cut from what was uploaded. Stores it.
    ///
    /// # Errors
    /// [`HostError`] when the crop could not be stored.
    async fn crop(&self, call_id: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError>;
}
