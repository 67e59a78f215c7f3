//! Tables, and the steps that bring an older file up to date.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Step `n` brings a file from version `n` to `n + 1`. Steps are only ever added.
const STEPS: [&str; 1] = ["
    CREATE TABLE queries (
        id         TEXT PRIMARY KEY,
        request    TEXT NOT NULL,     -- QueryRequest as JSON
        created_at INTEGER NOT NULL,  -- milliseconds since 1970
        over       INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE events (
        query_id TEXT NOT NULL REFERENCES queries (id) ON DELETE CASCADE,
        seq      INTEGER NOT NULL,
        envelope TEXT NOT NULL,       -- Envelope as JSON
        PRIMARY KEY (query_id, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE query_images (
        query_id TEXT NOT NULL REFERENCES queries (id) ON DELETE CASCADE,
        image_id TEXT NOT NULL,
        PRIMARY KEY (query_id, image_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE shares (
        id         TEXT PRIMARY KEY,
        token_hash BLOB NOT NULL,     -- BLAKE3 of the delete token
        run        TEXT NOT NULL,     -- SharedRun as JSON
        expires_at INTEGER            -- milliseconds since 1970
    ) STRICT;
    CREATE TABLE share_images (
        share_id TEXT NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
        image_id TEXT NOT NULL,
        PRIMARY KEY (share_id, image_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX query_images_by_image ON query_images (image_id);
    CREATE INDEX share_images_by_image ON share_images (image_id);
"];

/// Brings the file up to date, each step whole or not at all.
///
/// # Errors
/// [`StoreError::Newer`] when a newer program wrote the file.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = STEPS.len() as u32;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (version, step) in (1..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_changes_nothing_and_a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("loupe.sqlite3");
        migrate(&mut connection, path).unwrap();
        migrate(&mut connection, path).unwrap();
        connection.pragma_update(None, "user_version", STEPS.len() as u32 + 1).unwrap();
        assert_eq!(migrate(&mut connection, path).unwrap_err().code(), "database_newer");
    }
}
