//! Frozen runs, each behind an unguessable link.

use loupe_shared::ids::{ImageId, ShareId};
use loupe_shared::protocol::SharedRun;
use rusqlite::{OptionalExtension, params};

use super::queries::{images_of, unheld};
use super::{Store, StoreError, from_json, to_i64, to_json, to_u64};

/// The hash of a delete token. Compared in constant time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareSecret(blake3::Hash);

impl ShareSecret {
    /// The secret that a token proves.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }
}

/// A stored share.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The frozen run.
    pub run: SharedRun,
    /// What deletes it.
    pub secret: ShareSecret,
    /// When the link ends, in milliseconds since 1970.
    pub expires_at: Option<u64>,
}

impl Store {
    /// Keeps a share and holds `images` for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_share(
        &self,
        id: &ShareId,
        share: &Share,
        images: Vec<ImageId>,
    ) -> Result<(), StoreError> {
        let (id, json, secret) = (id.clone(), to_json(&share.run)?, share.secret);
        let expires_at = share.expires_at.map(to_i64);
        self.write(move |transaction| {
            transaction.execute(
                "INSERT INTO shares (id, token_hash, run, expires_at) VALUES (?1, ?2, ?3, ?4)",
                params![id.as_str(), secret.0.as_bytes(), json, expires_at],
            )?;
            for image in images {
                transaction.execute(
                    "INSERT OR IGNORE INTO share_images (share_id, image_id) VALUES (?1, ?2)",
                    [id.as_str(), image.as_str()],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// A share; `None` when there is none of that id. Whether it has expired is for the caller to see.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn share(&self, id: &ShareId) -> Result<Option<Share>, StoreError> {
        let id = id.clone();
        self.read(move |connection| {
            let row = connection
                .query_row(
                    "SELECT run, token_hash, expires_at FROM shares WHERE id = ?1",
                    [id.as_str()],
                    |row| {
                        Ok((
                            row.get::<_, String>(0)?,
                            row.get::<_, [u8; 32]>(1)?,
                            row.get::<_, Option<i64>>(2)?,
                        ))
                    },
                )
                .optional()?;
            let Some((json, hash, expires_at)) = row else {
                return Ok(None);
            };
            let secret = ShareSecret(blake3::Hash::from_bytes(hash));
            Ok(Some(Share { run: from_json(&json)?, secret, expires_at: expires_at.map(to_u64) }))
        })
        .await
    }

    /// Deletes a share, and names the pictures that nothing holds any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_share(&self, id: &ShareId) -> Result<Vec<ImageId>, StoreError> {
        let id = id.clone();
        self.write(move |transaction| {
            let images =
                images_of(transaction, "SELECT image_id FROM share_images WHERE share_id = ?1", id.as_str())?;
            transaction.execute("DELETE FROM shares WHERE id = ?1", [id.as_str()])?;
            unheld(transaction, images)
        })
        .await
    }
}
