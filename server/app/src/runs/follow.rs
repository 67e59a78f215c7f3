//! Reading a log as it grows. Live events come the same way as old ones, by reading the stored log; a reader therefore
//! never misses one or sees one twice, however slow it is.

use std::collections::VecDeque;

use futures::Stream;
use loupe_shared::ids::QueryId;
use loupe_shared::protocol::Envelope;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// Events read at once.
const BATCH: u32 = 256;

/// The events of a run after `after`. `growing` is watched while the run lives; without it the log is complete. Ends
/// after the run's last event, or with `stop`.
pub fn follow(
    store: Store,
    id: QueryId,
    after: u64,
    growing: Option<watch::Receiver<u64>>,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Envelope, StoreError>> + Send {
    let reader = Reader { store, id, after, growing, stop, read: VecDeque::new(), is_done: false };
    futures::stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((next, reader))
    })
}

struct Reader {
    store: Store,
    id: QueryId,
    after: u64,
    growing: Option<watch::Receiver<u64>>,
    stop: CancellationToken,
    read: VecDeque<Envelope>,
    is_done: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Envelope, StoreError>> {
        while self.read.is_empty() {
            if self.is_done {
                return None;
            }
            if let Err(error) = self.read_more().await {
                self.is_done = true;
                return Some(Err(error));
            }
        }
        let envelope = self.read.pop_front()?;
        self.after = envelope.seq;
        self.is_done |= envelope.event().is_ok_and(|event| event.is_last());
        Some(Ok(envelope))
    }

    async fn read_more(&mut self) -> Result<(), StoreError> {
        if let Some(growing) = &mut self.growing {
            // Marked before reading: what is appended in between is noticed in the next round.
            growing.mark_unchanged();
        }
        self.read = self.store.events_after(&self.id, self.after, BATCH).await?.into();
        if self.read.is_empty() {
            self.wait().await;
        }
        Ok(())
    }

    /// Waits for more; once the run is gone, one more look at the log is enough.
    async fn wait(&mut self) {
        let Some(growing) = &mut self.growing else {
            self.is_done = true;
            return;
        };
        tokio::select! {
            changed = growing.changed() => if changed.is_err() { self.growing = None },
            () = self.stop.cancelled() => self.is_done = true,
        }
    }
}
