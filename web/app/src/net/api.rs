//! The calls of the protocol that the client makes.

use js_sys::Uint8Array;
use loupe_shared::ids::{CallId, ImageId, QueryId, ShareId};
use loupe_shared::protocol::{
    ImageStored, Meta, QueryCreated, QueryRequest, ShareCreated, ShareRequest, SharedRun,
};

use super::http::Call;
use crate::model::problem::Problem;
use crate::model::session::Asked;

/// Any failed call, in the server's words.
type Answer<T> = Result<T, Problem>;

/// What the server is.
pub(crate) async fn meta() -> Answer<Meta> {
    Call::get("/api/v1/meta").json().await
}

/// Stores a picture.
pub(crate) async fn store_image(png: &Uint8Array) -> Answer<ImageStored> {
    Call::post_bytes("/api/v1/images", png, "image/png").json().await
}

/// Where a stored picture is.
pub(crate) fn image_url(id: &ImageId) -> String {
    format!("/api/v1/images/{id}")
}

/// The bytes of a picture on this server.
pub(crate) async fn bytes(url: &str) -> Answer<Uint8Array> {
    Call::get(url).bytes().await
}

/// Asks.
pub(crate) async fn ask(query: &QueryRequest) -> Answer<QueryId> {
    let created: QueryCreated = Call::post_json("/api/v1/queries", query)?.json().await?;
    Ok(created.query_id)
}

/// What a run was asked.
pub(crate) async fn query(id: &QueryId) -> Answer<Asked> {
    Call::get(&format!("/api/v1/queries/{id}")).json().await
}

/// Stops a run; deletes a finished one.
pub(crate) async fn cancel(id: &QueryId) -> Answer<()> {
    Call::delete(&format!("/api/v1/queries/{id}")).answer().await.map(drop)
}

/// Answers a `crop.request`.
pub(crate) async fn send_crop(id: &QueryId, call: &CallId, png: &Uint8Array) -> Answer<()> {
    let url = format!("/api/v1/queries/{id}/crops/{call}");
    Call::post_bytes(&url, png, "image/png").answer().await.map(drop)
}

/// Freezes a run as a link.
pub(crate) async fn share(request: &ShareRequest) -> Answer<ShareCreated> {
    Call::post_json("/api/v1/shares", request)?.json().await
}

/// A shared run.
pub(crate) async fn shared(id: &ShareId) -> Answer<SharedRun> {
    Call::get(&format!("/api/v1/shares/{id}")).json().await
}

/// Deletes a shared run.
pub(crate) async fn unshare(id: &ShareId, token: &str) -> Answer<()> {
    Call::delete(&format!("/api/v1/shares/{id}")).bearer(token).answer().await.map(drop)
}
