//! One request, one answer, one kind of error.

use js_sys::Uint8Array;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, RequestInit, Response};

use crate::model::problem::Problem;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    method: &'static str,
    url: &'a str,
    body: Option<(JsValue, &'a str)>,
    bearer: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// Reads.
    pub(crate) fn get(url: &'a str) -> Self {
        Self { method: "GET", url, body: None, bearer: None }
    }

    /// Deletes.
    pub(crate) fn delete(url: &'a str) -> Self {
        Self { method: "DELETE", ..Self::get(url) }
    }

    /// Sends JSON.
    pub(crate) fn post_json(url: &'a str, body: &impl Serialize) -> Result<Self, Problem> {
        let json = serde_json::to_string(body).map_err(|error| unreadable(&error))?;
        Ok(Self { method: "POST", body: Some((json.into(), "application/json")), ..Self::get(url) })
    }

    /// Sends bytes.
    pub(crate) fn post_bytes(url: &'a str, bytes: &Uint8Array, media_type: &'a str) -> Self {
        Self { method: "POST", body: Some((bytes.into(), media_type)), ..Self::get(url) }
    }

    /// Adds `Authorization: Bearer`.
    pub(crate) fn bearer(self, token: &'a str) -> Self {
        Self { bearer: Some(token), ..self }
    }

    /// Sends it and gives the answer, whatever its status.
    ///
    /// # Errors
    /// [`Problem::offline`] when there is none.
    async fn send(self) -> Result<Response, Problem> {
        let offline = |_: JsValue| Problem::offline();
        let headers = Headers::new().map_err(offline)?;
        let init = RequestInit::new();
        init.set_method(self.method);
        if let Some((body, media_type)) = &self.body {
            init.set_body(body);
            headers.set("Content-Type", media_type).map_err(offline)?;
        }
        if let Some(token) = self.bearer {
            headers.set("Authorization", &format!("Bearer {token}")).map_err(offline)?;
        }
        init.set_headers(&headers);
        let window = web_sys::window().ok_or_else(Problem::offline)?;
        let answer =
            JsFuture::from(window.fetch_with_str_and_init(self.url, &init)).await.map_err(offline)?;
        answer.dyn_into().map_err(offline)
    }

    /// Sends it and gives the answer if the server was content.
    ///
    /// # Errors
    /// The server's own words for any other status.
    pub(crate) async fn answer(self) -> Result<Response, Problem> {
        let response = self.send().await?;
        if response.ok() {
            return Ok(response);
        }
        let body = text(&response).await.unwrap_or_default();
        Err(Problem::from_answer(response.status(), &body))
    }

    /// Sends it and reads JSON.
    ///
    /// # Errors
    /// A [`Problem`] for a failed call or another body than expected.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let body = text(&self.answer().await?).await?;
        // By way of a value: events are read from values too, and each reader costs the bundle many kilobytes.
        let value: Value = serde_json::from_str(&body).map_err(|error| unreadable(&error))?;
        T::deserialize(&value).map_err(|error| unreadable(&error))
    }

    /// Sends it and reads bytes.
    ///
    /// # Errors
    /// A [`Problem`] for a failed call.
    pub(crate) async fn bytes(self) -> Result<Uint8Array, Problem> {
        let response = self.answer().await?;
        let buffer = response.array_buffer().map_err(|_error| Problem::offline())?;
        let buffer = JsFuture::from(buffer).await.map_err(|_error| Problem::offline())?;
        Ok(Uint8Array::new(&buffer))
    }
}

async fn text(response: &Response) -> Result<String, Problem> {
    let text = response.text().map_err(|_error| Problem::offline())?;
    let text = JsFuture::from(text).await.map_err(|_error| Problem::offline())?;
    Ok(text.as_string().unwrap_or_default())
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::new(
        "unreadable_answer",
        format!("The server's answer could not be read: {error}."),
        "The server may be of another version than this page. Reload the page.",
    )
}
