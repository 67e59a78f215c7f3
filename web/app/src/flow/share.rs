//! Links, and which of them this browser may delete.

use loupe_shared::ids::{QueryId, ShareId};
use loupe_shared::protocol::ShareRequest;
use web_sys::Storage;

use crate::model::links::{self, MyLink};
use crate::model::problem::Problem;
use crate::net::api;

/// Where the list lives in the browser's storage.
const KEY: &str = "loupe.links";

/// Freezes a run as a link and remembers how to delete it.
///
/// # Errors
/// The server's words when it refuses.
pub(crate) async fn create(
    query_id: QueryId,
    question: String,
    include_images: bool,
    expires_in_days: Option<u32>,
) -> Result<MyLink, Problem> {
    let created = api::share(&ShareRequest { query_id, include_images, expires_in_days }).await?;
    let link = MyLink { share_id: created.share_id, delete_token: created.delete_token, question };
    write(&links::with(mine(), link.clone()));
    Ok(link)
}

/// Deletes a link. One that the server knows no more is deleted already.
///
/// # Errors
/// The server's words when it refuses.
pub(crate) async fn delete(link: &MyLink) -> Result<(), Problem> {
    match api::unshare(&link.share_id, &link.delete_token).await {
        Err(problem) if !matches!(problem.code.as_str(), "unknown_share" | "share_expired") => {
            return Err(problem);
        }
        Ok(()) | Err(_) => {}
    }
    write(&links::without(mine(), &link.share_id));
    Ok(())
}

/// The links this browser made, newest first.
pub(crate) fn mine() -> Vec<MyLink> {
    let stored = storage().and_then(|storage| storage.get_item(KEY).ok().flatten());
    links::read(stored.as_deref())
}

/// The link itself.
pub(crate) fn address(id: &ShareId) -> String {
    let origin = web_sys::window().and_then(|window| window.location().origin().ok()).unwrap_or_default();
    format!("{origin}/s/{id}")
}

fn write(links: &[MyLink]) {
    let kept = serde_json::to_string(links)
        .ok()
        .zip(storage())
        .is_some_and(|(text, storage)| storage.set_item(KEY, &text).is_ok());
    if !kept {
        web_sys::console::warn_1(
            &"this browser keeps no data, so links cannot be deleted from here later".into(),
        );
    }
}

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok()?
}
