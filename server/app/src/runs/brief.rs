//! What the agent is told of a query: its question, decoded pictures, and what was asked before.

use std::sync::Arc;

use loupe_agent::host::{EarlierTurn, Query, QueryPicture};
use loupe_shared::protocol::{QueryRequest, RunState};

use crate::images::{FolderError, ImageFolder};
use crate::store::{Store, StoreError};

/// Most earlier turns that the agent is told.
const MAX_EARLIER: usize = 6;

/// Why a query cannot be put before the agent.
#[derive(Debug, thiserror::Error)]
pub enum BriefError {
    /// A picture cannot be read.
    #[error("a picture of this question cannot be read: {0}")]
    Picture(#[from] FolderError),
    /// What was asked before cannot be read.
    #[error("what was asked before cannot be read: {0}")]
    Store(#[from] StoreError),
}

impl BriefError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Picture(_) => "picture_unreadable",
            Self::Store(error) => error.code(),
        }
    }
}

/// Reads everything that a query names; its turns are held to a grammar with `constrain`.
///
/// # Errors
/// [`BriefError`].
pub async fn brief(
    store: &Store,
    images: &ImageFolder,
    request: &QueryRequest,
    constrain: bool,
) -> Result<Query, BriefError> {
    let mut pictures = Vec::with_capacity(request.images.len());
    for image in &request.images {
        let pixels = Arc::new(images.load(&image.image_id).await?);
        pictures.push(QueryPicture {
            image_id: image.image_id.clone(),
            role: image.role,
            region: image.region,
            pixels,
        });
    }
    Ok(Query {
        question: request.question.clone(),
        pictures,
        earlier: earlier(store, request).await?,
        workflow: request.workflow,
        adapter: request.adapter.as_deref().map(Arc::from),
        lang: request.lang.clone(),
        constrain,
    })
}

/// The answered questions before this one, oldest first. A parent that was deleted meanwhile ends the chain.
async fn earlier(store: &Store, request: &QueryRequest) -> Result<Vec<EarlierTurn>, StoreError> {
    let mut turns = Vec::new();
    let mut parent = request.parent.clone();
    while let Some(id) = parent {
        let Some(stored) = store.query(&id).await? else { break };
        let answer = state(store, &id).await?.answer;
        if !answer.is_empty() {
            turns.push(EarlierTurn { question: stored.request.question, answer });
        }
        if turns.len() == MAX_EARLIER {
            break;
        }
        parent = stored.request.parent;
    }
    turns.reverse();
    Ok(turns)
}

/// The fold of a run's log.
///
/// # Errors
/// [`StoreError`].
pub async fn state(store: &Store, id: &loupe_shared::ids::QueryId) -> Result<RunState, StoreError> {
    let mut state = RunState::default();
    for envelope in store.events(id).await? {
        let event = envelope.event().map_err(|error| StoreError::Row(error.to_string()))?;
        state.apply(envelope.seq, &event);
    }
    Ok(state)
}
