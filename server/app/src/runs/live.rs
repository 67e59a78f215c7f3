//! A run that waits or works.

use loupe_shared::ids::QueryId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::crops::CropDesk;
use super::log::RunLog;
use crate::store::Store;

/// A run that waits or works.
#[derive(Debug)]
pub struct LiveRun {
    /// Which run.
    pub id: QueryId,
    /// Its events.
    pub log: RunLog,
    /// Stops it.
    pub cancel: CancellationToken,
    /// Where it asks browsers for crops.
    pub crops: CropDesk,
    turn: Notify,
}

impl LiveRun {
    /// The run of a query that the store knows.
    #[must_use]
    pub fn new(id: QueryId, store: Store) -> Self {
        let log = RunLog::new(id.clone(), store);
        Self { id, log, cancel: CancellationToken::new(), crops: CropDesk::default(), turn: Notify::new() }
    }

    /// Says that it is this run's turn.
    pub fn call(&self) {
        self.turn.notify_one();
    }

    /// Waits until it is this run's turn; false when it was cancelled first.
    pub async fn wait_for_turn(&self) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            () = self.turn.notified() => true,
        }
    }
}
