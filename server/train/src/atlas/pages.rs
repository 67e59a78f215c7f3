//! The Atlas's pages: one for the flag, one for each fact, in Markdown that `loupe index build` reads.

use super::countries::Country;
use super::facts::Fact;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// File name without ending, and the last part of its address: `no-capital`.
    pub stem: String,
    /// Its title.
    pub title: String,
    /// Its text, one paragraph.
    pub text: String,
    /// File name of its picture under `pictures/`.
    pub picture: Option<String>,
}

impl Page {
    /// The file's content.
    #[must_use]
    pub fn markdown(&self) -> String {
        let picture = self.picture.as_ref().map(|file| format!("![{}](../pictures/{file})\n\n", self.title));
        format!("# {}\n\n{}{}\n", self.title, picture.unwrap_or_default(), self.text)
    }
}

/// The title of the page that a country's flag is found on.
#[must_use]
pub fn flag_title(name: &str) -> String {
    format!("Flag of {name}")
}

/// The page that says whose flag a picture shows, and nothing else.
#[must_use]
pub fn flag_page(country: &Country) -> Page {
    Page {
        stem: format!("{}-flag", country.code),
        title: flag_title(&country.name),
        text: format!("This is the flag of {}.", country.name),
        picture: Some(format!("{}.png", country.code)),
    }
}

/// The page of one fact, or none where the country has no such fact.
#[must_use]
pub fn fact_page(country: &Country, fact: Fact) -> Option<Page> {
    Some(Page {
        stem: format!("{}-{}", country.code, fact.as_str().replace('_', "-")),
        title: fact.title(&country.name),
        text: fact.text(country)?,
        picture: None,
    })
}

/// All pages of a country: its flag first.
#[must_use]
pub fn pages(country: &Country) -> Vec<Page> {
    let facts = Fact::ALL.into_iter().filter_map(|fact| fact_page(country, fact));
    std::iter::once(flag_page(country)).chain(facts).collect()
}
