//! Addresses: four forms, read once when the page opens.

use loupe_shared::ids::{QueryId, ShareId};

/// What the address asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/` or `/?q=…`: a new question, with its words filled in but not asked.
    Home {
        /// The words.
        question: String,
    },
    /// `/q/{id}`: a run of this server.
    Query(QueryId),
    /// `/s/{id}`: a shared run.
    Share(ShareId),
    /// `/embed`: the page inside the widget's frame.
    Embed {
        /// The words of the question.
        question: String,
        /// A shared run to show.
        share: Option<ShareId>,
        /// The page that embeds this one: the only origin that is talked to.
        host: Option<String>,
    },
    /// Any other address.
    Unknown,
}

impl Route {
    /// Reads a path and its parameters; `param` gives a decoded parameter of the address.
    #[must_use]
    pub fn parse(path: &str, param: impl Fn(&str) -> Option<String>) -> Self {
        let question = || param("q").unwrap_or_default();
        match path.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            [""] | ["", "index.html"] => Self::Home { question: question() },
            ["", "q", id] => QueryId::parse(id).map_or(Self::Unknown, Self::Query),
            ["", "s", id] => ShareId::parse(id).map_or(Self::Unknown, Self::Share),
            ["", "embed"] => Self::Embed {
                question: question(),
                share: param("share").and_then(|id| ShareId::parse(&id).ok()),
                host: param("host").filter(|host| is_origin(host)),
            },
            _ => Self::Unknown,
        }
    }

    /// Whether the page is inside a widget.
    #[must_use]
    pub fn is_embed(&self) -> bool {
        matches!(self, Self::Embed { .. })
    }
}

/// Scheme, host and perhaps a port: no path, no wildcard, nothing opaque.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789_-abcdefghij";

    fn parse(path: &str, params: &[(&str, &str)]) -> Route {
        Route::parse(path, |name| params.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_four_forms() {
        assert_eq!(parse("/", &[("q", "what is this")]), Route::Home { question: "what is this".into() });
        assert_eq!(parse(&format!("/q/{ID}"), &[]), Route::Query(QueryId::parse(ID).unwrap()));
        assert_eq!(parse(&format!("/s/{ID}/"), &[]), Route::Share(ShareId::parse(ID).unwrap()));
        let embed = parse("/embed", &[("host", "https://example.org:8443")]);
        let host = Some("https://example.org:8443".to_owned());
        assert_eq!(embed, Route::Embed { question: String::new(), share: None, host });
    }

    #[test]
    fn ids_of_another_form_lead_nowhere() {
        assert_eq!(parse("/q/short", &[]), Route::Unknown);
        assert_eq!(parse("/s/a/b", &[]), Route::Unknown);
        assert_eq!(parse("/settings", &[]), Route::Unknown);
    }

    #[test]
    fn only_an_exact_origin_is_talked_to() {
        for host in ["*", "null", "https://", "https://a.example/path", "javascript:alert(1)", "https://a b"]
        {
            let Route::Embed { host: kept, .. } = parse("/embed", &[("host", host)]) else {
                panic!("{host}")
            };
            assert_eq!(kept, None, "{host}");
        }
    }
}
