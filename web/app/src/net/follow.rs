//! The stream of a run's events: read until its last event, opened again from there where it breaks.

use js_sys::{Promise, Reflect, Uint8Array};
use loupe_shared::ids::QueryId;
use loupe_shared::protocol::Envelope;
use serde::Deserialize;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::ReadableStreamDefaultReader;

use super::http::Call;
use crate::model::problem::Problem;
use crate::model::sse::Parser;

/// First pause before a broken stream is opened again, in milliseconds; doubled each time.
const FIRST_PAUSE_MS: i32 = 500;
/// Longest pause.
const LONGEST_PAUSE_MS: i32 = 15_000;

/// Who listens to a run.
pub(crate) trait Listener {
    /// The sequence number of the last event that was heard.
    fn heard(&self) -> u64;
    /// Events came. Returns whether to go on: not after the last event, and not when nobody looks any more.
    fn events(&self, events: Vec<Envelope>) -> bool;
    /// The stream broke; it is opened again soon. Returns whether to go on.
    fn broken(&self) -> bool;
}

/// Follows a run to its end.
///
/// `crops` says that this page has the original and answers `crop.request`.
///
/// # Errors
/// A [`Problem`] when the server says that there is no such run. A server that cannot be reached is waited for.
pub(crate) async fn follow(id: &QueryId, crops: bool, listener: &impl Listener) -> Result<(), Problem> {
    let mut pause = FIRST_PAUSE_MS;
    loop {
        let before = listener.heard();
        match read(id, crops, listener).await {
            Ok(End::Over) => return Ok(()),
            Err(problem) if !problem.may_pass() => return Err(problem),
            Ok(End::Broken) | Err(_) => {}
        }
        if !listener.broken() {
            return Ok(());
        }
        pause = if listener.heard() > before { FIRST_PAUSE_MS } else { (pause * 2).min(LONGEST_PAUSE_MS) };
        sleep(pause).await;
    }
}

/// How reading a stream ended.
enum End {
    /// There is nothing more to read.
    Over,
    /// The connection ended before the run did.
    Broken,
}

async fn read(id: &QueryId, crops: bool, listener: &impl Listener) -> Result<End, Problem> {
    let crops = if crops { "&crops=1" } else { "" };
    let url = format!("/api/v1/queries/{id}/events?after={}{crops}", listener.heard());
    let response = Call::get(&url).answer().await?;
    let Some(body) = response.body() else { return Ok(End::Broken) };
    let reader: ReadableStreamDefaultReader =
        body.get_reader().dyn_into().map_err(|_error| Problem::offline())?;
    let mut parser = Parser::default();
    while let Some(bytes) = next(&reader).await {
        let Ok(messages) = parser.feed(&bytes) else { return Err(foreign_stream()) };
        let events: Option<Vec<Envelope>> = messages.iter().map(|message| envelope(&message.data)).collect();
        let events = events.ok_or_else(foreign_stream)?;
        if !listener.events(events) {
            // The rest of the stream is not wanted; whether the browser could still cancel it changes nothing.
            let _cancelled = JsFuture::from(reader.cancel()).await;
            return Ok(End::Over);
        }
    }
    Ok(End::Broken)
}

fn envelope(data: &str) -> Option<Envelope> {
    let value: Value = serde_json::from_str(data).ok()?;
    Envelope::deserialize(&value).ok()
}

/// The next bytes of a stream; `None` at its end or when the connection breaks.
async fn next(reader: &ReadableStreamDefaultReader) -> Option<Vec<u8>> {
    let chunk = JsFuture::from(reader.read()).await.ok()?;
    let value = Reflect::get(&chunk, &JsValue::from_str("value")).ok()?;
    Some(value.dyn_into::<Uint8Array>().ok()?.to_vec())
}

fn foreign_stream() -> Problem {
    Problem::new(
        "unreadable_stream",
        "The server's events could not be read.",
        "Something between this page and Loupe may have answered instead. Reload the page.",
    )
}

/// Waits.
pub(crate) async fn sleep(ms: i32) {
    let promise = Promise::new(&mut |resolve, _reject| {
        let Some(window) = web_sys::window() else { return };
        if window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms).is_err() {
            web_sys::console::warn_1(&"a timer could not be set".into());
        }
    });
    // The promise is only ever resolved.
    let _resolved = JsFuture::from(promise).await;
}
