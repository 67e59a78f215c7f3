//! `openai:URL[,URL…][#model]`.

use loupe_mllm::engine::ModelInfo;
use url::Url;

use super::wire::{Model, Models};
use super::{CONTEXT, MIN_PIXELS};

/// The dialect of a model that was not trained for another.
pub(super) const DIALECT: &str = "tool-call";
/// How it begins.
pub(crate) const PREFIX: &str = "openai:";

/// Servers with one model between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSpec {
    /// Base addresses, as in `http://host:8000/v1`; at least one.
    pub urls: Vec<Url>,
    /// The model's name there; the only one where none is named.
    pub model: Option<String>,
    /// The dialect that the model writes.
    pub dialect: String,
}

/// Why servers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It is not written as it should be.
    #[error(
        "{0:?} names no model server; write openai:http://host:8000/v1, with #model where it has several"
    )]
    Form(String),
    /// No HTTP client can be made.
    #[error("{0}")]
    Client(String),
    /// No server answers.
    #[error("no model server answers ({0}); check the address and that the server runs")]
    Unreachable(String),
    /// No server has the model, or it has to be named.
    #[error("{found}; name one as in openai:{server}#MODEL")]
    Model {
        /// The address of one that answers.
        server: String,
        /// What each server has, or why it does not answer.
        found: String,
    },
}

impl RemoteSpec {
    /// Reads `openai:URL[,URL…][#model]`; the dialect is `tool-call` where none is given.
    ///
    /// # Errors
    /// [`SpecError::Form`].
    pub fn parse(text: &str, dialect: Option<&str>) -> Result<Self, SpecError> {
        let wrong = || SpecError::Form(written(text));
        let rest = text.strip_prefix(PREFIX).ok_or_else(wrong)?;
        let (addresses, model) = match rest.split_once('#') {
            Some((addresses, model)) if !model.is_empty() => (addresses, Some(model.to_owned())),
            Some(_) => return Err(wrong()),
            None => (rest, None),
        };
        let url = |address: &str| {
            let url = Url::parse(address.trim()).ok()?;
            let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host();
            plain.then_some(url)
        };
        let urls = addresses.split(',').map(url).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        Ok(Self { urls, model, dialect: dialect.unwrap_or(DIALECT).to_owned() })
    }

    /// What is known of the model that is meant, if it is among those of a server. No server says what pictures it may be
    /// shown, so `max_pixels` does.
    pub(super) fn choose(&self, models: &Models, server: &Url, max_pixels: u32) -> Option<ModelInfo> {
        let named =
            models.data.iter().find(|model| self.model.as_ref().is_some_and(|name| *name == model.id));
        let only = || {
            let mut bases = models.data.iter().filter(|model| model.parent.is_none());
            bases.next().filter(|_| self.model.is_none() && bases.next().is_none())
        };
        // `transformers serve` lists what its cache has, which a folder's model is not in: then its name is taken at its word.
        let unlisted = self.model.clone().filter(|_| models.data.is_empty());
        let unlisted = unlisted.map(|id| Model { id, max_model_len: None, parent: None });
        let model = named.or_else(only).or(unlisted.as_ref())?;
        Some(ModelInfo {
            name: model.id.clone(),
            dialect: self.dialect.clone(),
            about: format!("A model served by {}.", server.host_str().unwrap_or("another server")),
            min_pixels: MIN_PIXELS,
            max_pixels,
            context: model.max_model_len.unwrap_or(CONTEXT),
            adapters: models.adapters_of(&model.id),
        })
    }
}

/// What was written as servers, without it where there may be a password in it.
pub(crate) fn written(text: &str) -> String {
    if text.contains(['@', '?']) { format!("{PREFIX}…") } else { text.to_owned() }
}

/// An address without the user name, the password and the parameters that it may carry.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODEL_PIXELS;

    #[test]
    fn a_name_is_taken_at_its_word_only_where_a_server_lists_nothing() {
        let choose = |spec: &str, models: serde_json::Value| {
            let spec = RemoteSpec::parse(spec, None).unwrap();
            let models = serde_json::from_value(models).unwrap();
            Some(spec.choose(&models, &spec.urls[0], MODEL_PIXELS)?.name)
        };
        let empty = serde_json::json!({ "object": "list", "data": [] });
        let other = serde_json::json!({ "data": [{ "id": "other" }] });
        let named = "openai:http://host/v1#/models/qwen";
        assert_eq!(choose(named, empty.clone()).as_deref(), Some("/models/qwen"));
        assert_eq!(choose(named, other), None);
        assert_eq!(choose("openai:http://host/v1", empty), None, "there is nothing to ask for");
    }
}
