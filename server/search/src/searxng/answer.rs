//! What SearXNG answers, as hits.

use std::collections::HashSet;

use loupe_shared::protocol::Hit;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{bad_answer, unreachable};
use crate::plain::plain;
use crate::provider::SearchError;
use crate::sentences::cut;

/// Characters of a title and of a snippet.
const TITLE_CHARS: usize = 200;
const SNIPPET_CHARS: usize = 500;
/// Silent engines that a message names.
const NAMED_ENGINES: usize = 6;

/// The part of an answer that is used. Everything may be missing; what is there has to have its documented form.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Item>,
    /// Pairs of name and reason; single names in older versions.
    #[serde(default)]
    unresponsive_engines: Vec<Value>,
}

#[derive(Deserialize)]
struct Item {
    url: Option<String>,
    title: Option<String>,
    content: Option<String>,
}

/// The first `limit` results with a usable address, each address once.
///
/// # Errors
/// [`SearchError::Unreachable`] when there are none because no engine answered, [`SearchError::BadAnswer`] for another
/// form.
pub(super) fn hits(answer: Value, limit: usize) -> Result<Vec<Hit>, SearchError> {
    let answer: Answer = serde_json::from_value(answer).map_err(|error| bad_answer(error.to_string()))?;
    if answer.results.is_empty() && !answer.unresponsive_engines.is_empty() {
        return Err(unreachable(&format!(
            "none of its engines answered ({}); wait, or enable other engines in its settings.yml",
            silent(&answer.unresponsive_engines)
        )));
    }
    let mut seen = HashSet::new();
    let hits = answer.results.into_iter().filter_map(hit).filter(|hit| seen.insert(hit.url.clone()));
    Ok((1..).zip(hits.take(limit)).map(|(rank, hit)| Hit { rank, ..hit }).collect())
}

/// Pictures in results are on other people's servers, so hits of live providers have no thumbnail.
fn hit(item: Item) -> Option<Hit> {
    let url = Url::parse(item.url?.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let title = cut(&plain(&item.title.unwrap_or_default()), TITLE_CHARS);
    let title = if title.is_empty() { url.host_str()?.to_owned() } else { title };
    let snippet = cut(&plain(&item.content.unwrap_or_default()), SNIPPET_CHARS);
    Some(Hit { rank: 0, title, url: url.into(), snippet, thumb: None })
}

fn silent(engines: &[Value]) -> String {
    let named = |engine: &Value| match engine {
        Value::Array(pair) => {
            let parts: Vec<&str> = pair.iter().filter_map(Value::as_str).collect();
            parts.join(": ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let names: Vec<String> =
        engines.iter().take(NAMED_ENGINES).map(named).map(|name| cut(&plain(&name), 80)).collect();
    names.join(", ")
}
