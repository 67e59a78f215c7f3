//! A run's log while it grows: each event is kept first and told second.

use loupe_shared::ids::QueryId;
use loupe_shared::protocol::{Envelope, Event};
use tokio::sync::{Mutex, watch};

use crate::metrics::ENDED;
use crate::moment::now_ms;
use crate::store::{Store, StoreError};

/// Why an event was not appended.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The run has had its last event.
    #[error("the run is over")]
    Over,
    /// The server is being stopped.
    #[error("the server is being stopped")]
    Frozen,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The log of one run. Gives events their numbers, and lets none follow the last.
#[derive(Debug)]
pub struct RunLog {
    id: QueryId,
    store: Store,
    tail: Mutex<Tail>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Tail {
    seq: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Over,
    Frozen,
}

impl RunLog {
    /// The empty log of a query that the store knows.
    #[must_use]
    pub fn new(id: QueryId, store: Store) -> Self {
        let tail = Mutex::new(Tail { seq: 0, state: State::Open });
        Self { id, store, tail, newest: watch::Sender::new(0) }
    }

    /// Keeps one event, then tells the readers.
    ///
    /// # Errors
    /// [`LogError`]; the event is then neither kept nor told.
    pub async fn append(&self, event: &Event) -> Result<(), LogError> {
        let mut tail = self.tail.lock().await;
        match tail.state {
            State::Open => {}
            State::Over => return Err(LogError::Over),
            State::Frozen => return Err(LogError::Frozen),
        }
        count_end(event);
        let envelope = Envelope::new(tail.seq + 1, now_ms(), event);
        self.store.append_event(&self.id, &envelope, event.is_last()).await?;
        tail.seq = envelope.seq;
        if event.is_last() {
            tail.state = State::Over;
        }
        self.newest.send_replace(envelope.seq);
        Ok(())
    }

    /// Takes no event any more, not even a last one.
    pub async fn freeze(&self) {
        let mut tail = self.tail.lock().await;
        if matches!(tail.state, State::Open) {
            tail.state = State::Frozen;
        }
    }

    /// Tells the number of the newest event whenever there is one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

/// Counts how a run ended, whoever ended it. Before the event is kept: whoever has read it finds it counted. An end that
/// cannot be kept is therefore counted too.
fn count_end(event: &Event) {
    let end = match event {
        Event::Done(_) => "done".to_owned(),
        Event::Cancelled(_) => "cancelled".to_owned(),
        Event::Error(error) => error.code.clone(),
        _ => return,
    };
    metrics::counter!(ENDED, "end" => end).increment(1);
}
