//! What is kept: queries, their events, shares. SQLite in one file.
//!
//! - [`schema`]: tables and how older files are brought up to date.
//! - [`queries`]: queries and which pictures they hold.
//! - [`events`]: the log of each run.
//! - [`shares`]: frozen runs.

pub mod events;
pub mod queries;
pub mod schema;
pub mod shares;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub use shares::{Share, ShareSecret};

/// How long to wait for another process that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not a database, or damaged.
    #[error(
        "the database {path} is damaged ({reason}); restore it from a backup, or move it away to start anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// A newer program wrote the file.
    #[error("the database {path} has version {found}, this program knows up to {known}; start a newer Loupe")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest known version.
        known: u32,
    },
    /// The file was removed while the server runs.
    #[error("the database {0} is gone; put the data folder back and start Loupe again")]
    Gone(PathBuf),
    /// Something stored is not what this program writes.
    #[error("stored data cannot be read: {0}")]
    Row(String),
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Something inside failed.
    #[error("the database's thread failed: {0}")]
    Internal(String),
}

impl StoreError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "database_damaged",
            Self::Newer { .. } => "database_newer",
            Self::Gone(_) => "data_folder_gone",
            Self::Row(_) | Self::Sqlite(_) | Self::Internal(_) => "database_failed",
        }
    }
}

/// The database. Clones share it; one connection serves all, one call at a time.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
}

impl Store {
    /// Opens the file, makes it where it is missing, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = connect(path).map_err(|error| named(path, error))?;
        Ok(Self { path: path.to_owned(), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` on the connection, away from the async threads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(move |connection| work(connection)).await
    }

    /// Runs `work` in a transaction that is kept when it succeeds and undone when it fails.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.path.clone();
        self.call(move |connection| {
            // Writes to a removed file succeed, and are lost with the process.
            if !path.exists() {
                return Err(StoreError::Gone(path));
            }
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.connection.clone();
        let work = move || {
            // A panic in `work` leaves no half-written state: its transaction was undone when it was dropped.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Internal(error.to_string()))?
    }

    /// Checks that the database answers and its file is still there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.query_row("SELECT count(*) FROM queries LIMIT 1", [], |_row| Ok(()))?;
            Ok(())
        })
        .await
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // In WAL mode NORMAL keeps every commit when the process dies; only a power cut may take the last ones, and each
    // token is a commit, which FULL would make wait for the disk.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let health: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if health != "ok" {
        return Err(StoreError::Damaged { path: path.to_owned(), reason: health });
    }
    schema::migrate(&mut connection, path)?;
    Ok(connection)
}

/// Says which file, where SQLite only says that it is none of its own.
fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Sqlite(cause)
            if matches!(
                cause.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::CannotOpen)
            ) =>
        {
            StoreError::Damaged { path: path.to_owned(), reason: cause.to_string() }
        }
        other => other,
    }
}

/// Reads stored JSON.
fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Row(error.to_string()))
}

/// Writes JSON to store.
fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Row(error.to_string()))
}

/// SQLite keeps signed numbers; sequence numbers and milliseconds stay far below their largest.
fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loupe.sqlite3");
        std::fs::write(&path, b"this is not a database, it only stands in its place").unwrap();
        let error = Store::open(&path).unwrap_err();
        assert_eq!(error.code(), "database_damaged");
        assert!(error.to_string().contains("loupe.sqlite3"));
        assert!(std::fs::read(&path).unwrap().starts_with(b"this is not"));
    }

    #[tokio::test]
    async fn writing_to_a_removed_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loupe.sqlite3");
        let store = Store::open(&path).unwrap();
        store.check().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(store.check().await.unwrap_err().code(), "data_folder_gone");
    }
}
