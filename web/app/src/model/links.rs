//! The shared links that this browser made. The server keeps only a hash of a link's delete token, so the token
//! lives here or nowhere.

use loupe_shared::ids::ShareId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A link that this browser made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MyLink {
    /// The link is `/s/{share_id}`.
    pub share_id: ShareId,
    /// What deletes it.
    pub delete_token: String,
    /// What was asked, to tell links apart.
    pub question: String,
}

/// Most links that are remembered.
const KEPT: usize = 200;

/// Reads the stored list. What cannot be read is dropped: another program's data, or a newer form.
#[must_use]
pub fn read(stored: Option<&str>) -> Vec<MyLink> {
    let value: Option<Value> = stored.and_then(|text| serde_json::from_str(text).ok());
    value.and_then(|value| Vec::deserialize(&value).ok()).unwrap_or_default()
}

/// The list with a link put first.
#[must_use]
pub fn with(mut links: Vec<MyLink>, link: MyLink) -> Vec<MyLink> {
    links.retain(|other| other.share_id != link.share_id);
    links.insert(0, link);
    links.truncate(KEPT);
    links
}

/// The list without a link.
#[must_use]
pub fn without(mut links: Vec<MyLink>, share_id: &ShareId) -> Vec<MyLink> {
    links.retain(|link| link.share_id != *share_id);
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: &str, question: &str) -> MyLink {
        MyLink { share_id: ShareId::parse(id).unwrap(), delete_token: "t".into(), question: question.into() }
    }

    #[test]
    fn the_newest_comes_first_and_none_twice() {
        let (a, b) = (link("aaaaaaaaaaaaaaaaaaaaaa", "a"), link("bbbbbbbbbbbbbbbbbbbbbb", "b"));
        let links = with(with(with(Vec::new(), a.clone()), b.clone()), a.clone());
        assert_eq!(links, [a.clone(), b.clone()]);
        assert_eq!(without(links, &a.share_id), [b]);
    }

    #[test]
    fn foreign_data_is_dropped() {
        assert_eq!(read(Some("{not json")), []);
        assert_eq!(read(None), []);
        let kept = [link("aaaaaaaaaaaaaaaaaaaaaa", "a")];
        assert_eq!(read(Some(&serde_json::to_string(&kept).unwrap())), kept);
    }
}
