//! Queries and the pictures they hold.

use loupe_shared::ids::{ImageId, QueryId};
use loupe_shared::protocol::QueryRequest;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, StoreError, from_json, to_i64, to_json, to_u64};

/// A stored query.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredQuery {
    /// What was asked.
    pub request: QueryRequest,
    /// When, in milliseconds since 1970.
    pub created_at: u64,
    /// Whether its run has ended.
    pub over: bool,
}

impl Store {
    /// Keeps a query and holds its pictures.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_query(&self, id: &QueryId, request: &QueryRequest, now: u64) -> Result<(), StoreError> {
        let (id, json) = (id.clone(), to_json(request)?);
        let images: Vec<ImageId> = request.images.iter().map(|image| image.image_id.clone()).collect();
        self.write(move |transaction| {
            transaction.execute(
                "INSERT INTO queries (id, request, created_at) VALUES (?1, ?2, ?3)",
                params![id.as_str(), json, to_i64(now)],
            )?;
            images.iter().try_for_each(|image| hold(transaction, &id, image))
        })
        .await
    }

    /// Holds a crop for a query, so that it lives as long as the query.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_image(&self, id: &QueryId, image: &ImageId) -> Result<(), StoreError> {
        let (id, image) = (id.clone(), image.clone());
        self.write(move |transaction| hold(transaction, &id, &image)).await
    }

    /// A query; `None` when there is none of that id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn query(&self, id: &QueryId) -> Result<Option<StoredQuery>, StoreError> {
        let id = id.clone();
        self.read(move |connection| {
            let row = connection
                .query_row(
                    "SELECT request, created_at, over FROM queries WHERE id = ?1",
                    [id.as_str()],
                    |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()?;
            let Some((json, created_at, over)) = row else {
                return Ok(None);
            };
            Ok(Some(StoredQuery { request: from_json(&json)?, created_at: to_u64(created_at), over }))
        })
        .await
    }

    /// Deletes a query with its log, and names the pictures that nothing holds any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_query(&self, id: &QueryId) -> Result<Vec<ImageId>, StoreError> {
        let id = id.clone();
        self.write(move |transaction| {
            let images =
                images_of(transaction, "SELECT image_id FROM query_images WHERE query_id = ?1", id.as_str())?;
            transaction.execute("DELETE FROM queries WHERE id = ?1", [id.as_str()])?;
            unheld(transaction, images)
        })
        .await
    }
}

fn hold(transaction: &Transaction<'_>, id: &QueryId, image: &ImageId) -> Result<(), StoreError> {
    transaction.execute(
        "INSERT OR IGNORE INTO query_images (query_id, image_id) VALUES (?1, ?2)",
        [id.as_str(), image.as_str()],
    )?;
    Ok(())
}

/// The pictures that a statement selects for one holder.
pub(super) fn images_of(
    transaction: &Transaction<'_>,
    select: &str,
    holder: &str,
) -> Result<Vec<ImageId>, StoreError> {
    let mut statement = transaction.prepare_cached(select)?;
    let rows = statement.query_map([holder], |row| row.get::<_, String>(0))?;
    rows.map(|row| ImageId::parse(&row?).map_err(|error| StoreError::Row(error.to_string()))).collect()
}

/// Those of `images` that neither a query nor a share holds.
pub(super) fn unheld(
    transaction: &Transaction<'_>,
    images: Vec<ImageId>,
) -> Result<Vec<ImageId>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM query_images WHERE image_id = ?1)
             OR EXISTS (SELECT 1 FROM share_images WHERE image_id = ?1)",
    )?;
    let mut free = Vec::new();
    for image in images {
        let held: bool = statement.query_row([image.as_str()], |row| row.get(0))?;
        if !held {
            free.push(image);
        }
    }
    Ok(free)
}
