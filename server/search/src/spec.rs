//! Providers as settings name them.

use std::path::PathBuf;

use url::Url;

use crate::provider::SearchError;

/// A provider that was asked for: `local:DIR` or `searxng:URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderSpec {
    /// The index of a folder.
    Local(PathBuf),
    /// A SearXNG instance by its base address.
    SearxNg(Url),
}

impl ProviderSpec {
    /// Reads a setting.
    ///
    /// # Errors
    /// [`SearchError::Settings`] saying what may be given.
    pub fn parse(text: &str) -> Result<Self, SearchError> {
        let text = text.trim();
        match text.split_once(':') {
            Some(("local", dir)) if !dir.is_empty() => Ok(Self::Local(PathBuf::from(dir))),
            Some(("searxng", url)) => base_address(url).map(Self::SearxNg),
            _ => Err(SearchError::Settings(format!(
                "{text:?} names no search provider; give local:DIR for a folder of pages and pictures, or \
                 searxng:https://HOST for a SearXNG instance"
            ))),
        }
    }
}

fn base_address(text: &str) -> Result<Url, SearchError> {
    let wrong = |what: String| {
        SearchError::Settings(format!(
            "searxng:{text}: {what}; give the instance's address, as in searxng:https://HOST/PATH"
        ))
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{} is neither http nor https", url.scheme())));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("an address with ? or # is no base address".to_owned()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read() {
        assert_eq!(ProviderSpec::parse("local:/a:b").unwrap(), ProviderSpec::Local("/a:b".into()));
        let url = Url::parse("http://127.0.0.1:8888/sx").unwrap();
        assert_eq!(
            ProviderSpec::parse(" searxng:http://127.0.0.1:8888/sx ").unwrap(),
            ProviderSpec::SearxNg(url)
        );
    }

    #[test]
    fn a_wrong_setting_is_told_what_may_be_given() {
        for wrong in
            ["", "local", "local:", "google:x", "searxng:", "searxng:ftp://x", "searxng:http://x/?q=1"]
        {
            let error = ProviderSpec::parse(wrong).unwrap_err();
            assert_eq!(error.code(), "search_settings");
            assert!(error.to_string().contains("give "), "{error}");
        }
    }
}
