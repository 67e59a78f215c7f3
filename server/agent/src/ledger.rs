//! The hits that tools returned in a run: what may be cited, and what was asked before.

use std::collections::HashSet;

use loupe_shared::ids::CallId;
use loupe_shared::protocol::{Hit, HitRef};

use crate::dialect::Search;
use crate::information::plain_within;

/// Most hits of one search that a run keeps.
pub(crate) const HITS: usize = 5;

const TITLE_CHARS: usize = 200;
const SNIPPET_CHARS: usize = 800;

/// A hit and who returned it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its name within the run.
    pub(crate) hit: HitRef,
    /// Whether it was found by picture, so that only its title says something.
    pub(crate) by_picture: bool,
    /// Its title.
    pub(crate) title: String,
    /// Its passage.
    pub(crate) snippet: String,
}

/// The hits of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sources: Vec<Source>,
    answered: HashSet<String>,
}

impl Ledger {
    /// Keeps what a call returned.
    pub(crate) fn add(&mut self, call_id: &CallId, by_picture: bool, hits: &[Hit]) {
        self.sources.extend(hits.iter().map(|hit| Source {
            hit: HitRef { call_id: call_id.clone(), rank: hit.rank },
            by_picture,
            title: hit.title.clone(),
            snippet: hit.snippet.clone(),
        }));
    }

    /// Notes that a search was answered.
    pub(crate) fn note(&mut self, search: &Search) {
        self.answered.insert(key(search));
    }

    /// Whether the very same search was answered before.
    pub(crate) fn knows(&self, search: &Search) -> bool {
        self.answered.contains(&key(search))
    }

    /// Every hit of the run, in the order in which they came.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }
}

fn key(search: &Search) -> String {
    format!("{search:?}").to_lowercase()
}

/// The first hits in a form that is safe to store, show and cite: ranks from 1, bounded texts, and only addresses of the
/// web or of this server (a provider's answer is outside text, and `javascript:` is an address too).
pub(crate) fn admitted(hits: Vec<Hit>) -> Vec<Hit> {
    let usable = hits.into_iter().filter(|hit| is_address(&hit.url)).take(HITS);
    usable
        .zip(1u32..)
        .map(|(hit, rank)| Hit {
            rank,
            title: plain_text(&hit.title, TITLE_CHARS),
            snippet: plain_text(&hit.snippet, SNIPPET_CHARS),
            thumb: hit.thumb.filter(|thumb| is_local(thumb)),
            url: hit.url,
        })
        .collect()
}

fn is_address(url: &str) -> bool {
    is_local(url) || url.starts_with("https://") || url.starts_with("http://")
}

fn is_local(url: &str) -> bool {
    url.starts_with('/') && !url.starts_with("//") && !url.contains('\\')
}

/// Readers see the text as it is; only its length is bounded.
fn plain_text(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { plain_within(text, most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(rank: u32, url: &str) -> Hit {
        let thumb = Some("https://elsewhere.example/x.png".to_owned());
        Hit { rank, title: "T".to_owned(), url: url.to_owned(), snippet: "long ".repeat(900), thumb }
    }

    #[test]
    fn hits_are_admitted_only_with_addresses_that_can_be_followed() {
        let hits = vec![
            hit(9, "javascript:alert(1)"),
            hit(4, "/pages/x"),
            hit(2, "//evil.example"),
            hit(1, "https://a.example"),
        ];
        let admitted = admitted(hits);
        let seen: Vec<(u32, &str)> = admitted.iter().map(|h| (h.rank, h.url.as_str())).collect();
        assert_eq!(seen, [(1, "/pages/x"), (2, "https://a.example")]);
        assert!(admitted.iter().all(|h| h.thumb.is_none() && h.snippet.chars().count() <= SNIPPET_CHARS));
    }

    #[test]
    fn a_search_is_known_whatever_its_case() {
        let mut ledger = Ledger::default();
        ledger.note(&Search::Text("Capital of Norway".to_owned()));
        assert!(ledger.knows(&Search::Text("capital of norway".to_owned())));
        assert!(!ledger.knows(&Search::Text("capital of Iceland".to_owned())));
    }
}
