//! A page of the local index, read from Markdown.

use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;
use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};

/// A page as it is indexed and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its name in addresses: the path in the folder without `pages/` at the front and `.md` at the end.
    pub stem: String,
    /// The first heading of level 1; without one, the file's name.
    pub title: String,
    /// The text without Markdown's marks, one paragraph a line.
    pub text: String,
    /// The pictures it shows, in their order.
    pub pictures: Vec<PagePicture>,
}

/// A picture on a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagePicture {
    /// Its name in addresses, see [`super::Picture::file`].
    pub file: String,
    /// What the page says it shows.
    pub alt: String,
}

/// What Markdown says, before pictures and names are resolved.
pub(super) struct Parsed {
    pub(super) title: Option<String>,
    pub(super) text: String,
    /// Paths relative to the folder, with their alternative text.
    pub(super) pictures: Vec<(PathBuf, String)>,
}

/// Reads Markdown; `at` is the page's own path relative to the folder, from which picture links are resolved. Links
/// that lead out of the folder or to another host are no pictures of this page.
pub(super) fn parse(markdown: &str, at: &Path) -> Parsed {
    let mut reader = Reader::default();
    for event in Parser::new(markdown) {
        reader.take(event);
    }
    let base = at.parent().unwrap_or(Path::new(""));
    let pictures =
        reader.pictures.into_iter().filter_map(|(link, alt)| Some((resolve(base, &link)?, alt))).collect();
    Parsed { title: reader.title.filter(|title| !title.is_empty()), text: tidy(&reader.text), pictures }
}

#[derive(Default)]
struct Reader {
    title: Option<String>,
    text: String,
    pictures: Vec<(String, String)>,
    in_title: bool,
    in_picture: bool,
}

impl Reader {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) if self.title.is_none() => {
                self.title = Some(String::new());
                self.in_title = true;
            }
            Event::End(TagEnd::Heading(HeadingLevel::H1)) => {
                self.in_title = false;
                self.text.push('\n');
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                self.pictures.push((dest_url.into_string(), String::new()));
                self.in_picture = true;
            }
            Event::End(TagEnd::Image) => self.in_picture = false,
            Event::Text(text) | Event::Code(text) => self.push(&text),
            Event::SoftBreak => self.push(" "),
            Event::HardBreak => self.push("\n"),
            Event::End(
                TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::Item
                | TagEnd::CodeBlock
                | TagEnd::BlockQuote(_),
            ) => self.text.push('\n'),
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        if self.in_picture {
            if let Some((_, alt)) = self.pictures.last_mut() {
                alt.push_str(text);
            }
            return;
        }
        match &mut self.title {
            Some(title) if self.in_title => title.push_str(text),
            _ => self.text.push_str(text),
        }
    }
}

/// Lines with single spaces, empty ones dropped.
fn tidy(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A relative link as a path in the folder; `None` when it leads elsewhere.
fn resolve(base: &Path, link: &str) -> Option<PathBuf> {
    if link.contains("://") || link.starts_with("data:") {
        return None;
    }
    let decoded = percent_decode_str(link).decode_utf8().ok()?;
    let mut path = PathBuf::new();
    for part in base.join(decoded.as_ref()).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_and_words_stay() {
        let page = parse(
            "# The *Flag* of `X`\n\nIt is **red**, see\n[here](y.md).\n\n- one\n- two\n\n![A flag](../pictures/a%20b.png)\n",
            Path::new("pages/x.md"),
        );
        assert_eq!(page.title.as_deref(), Some("The Flag of X"));
        assert_eq!(page.text, "It is red, see here.\none\ntwo");
        assert_eq!(page.pictures, [(PathBuf::from("pictures/a b.png"), "A flag".to_owned())]);
    }

    #[test]
    fn links_out_of_the_folder_are_dropped() {
        let page = parse(
            "![a](../../etc/x.png) ![b](/etc/x.png) ![c](https://example.org/x.png) ![d](./d.png)",
            Path::new("pages/x.md"),
        );
        assert_eq!(page.title, None);
        assert_eq!(page.pictures, [(PathBuf::from("pages/d.png"), "d".to_owned())]);
    }

    #[test]
    fn a_second_heading_is_text() {
        let page = parse("# One\n\n# Two\n\nThree", Path::new("x.md"));
        assert_eq!((page.title.as_deref(), page.text.as_str()), (Some("One"), "Two\nThree"));
    }
}
