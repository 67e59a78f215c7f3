//! The log of each run: appended to, read from any point, never changed.

use loupe_shared::ids::QueryId;
use loupe_shared::protocol::Envelope;
use rusqlite::params;

use super::{Store, StoreError, from_json, to_i64, to_json, to_u64};

/// A run whose log has no last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub id: QueryId,
    /// Sequence number of its newest event; 0 for none.
    pub seq: u64,
}

impl Store {
    /// Appends one event; with `is_last` the run is over.
    ///
    /// # Errors
    /// [`StoreError`]; also when the run does not exist or has an event of that number.
    pub async fn append_event(
        &self,
        id: &QueryId,
        envelope: &Envelope,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let (id, seq, json) = (id.clone(), to_i64(envelope.seq), to_json(envelope)?);
        self.write(move |transaction| {
            transaction
                .prepare_cached("INSERT INTO events (query_id, seq, envelope) VALUES (?1, ?2, ?3)")?
                .execute(params![id.as_str(), seq, json])?;
            if is_last {
                transaction.execute("UPDATE queries SET over = 1 WHERE id = ?1", [id.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    /// The events after sequence number `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after(
        &self,
        id: &QueryId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Envelope>, StoreError> {
        let id = id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT envelope FROM events WHERE query_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let rows = statement
                .query_map(params![id.as_str(), to_i64(after), limit], |row| row.get::<_, String>(0))?;
            rows.map(|row| from_json(&row?)).collect()
        })
        .await
    }

    /// A run's whole log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, id: &QueryId) -> Result<Vec<Envelope>, StoreError> {
        self.events_after(id, 0, u32::MAX).await
    }

    /// The runs that have not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, (SELECT coalesce(max(seq), 0) FROM events WHERE query_id = id)
                 FROM queries WHERE over = 0",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            rows.map(|row| {
                let (id, seq) = row?;
                let id = QueryId::parse(&id).map_err(|error| StoreError::Row(error.to_string()))?;
                Ok(OpenRun { id, seq: to_u64(seq) })
            })
            .collect()
        })
        .await
    }
}
