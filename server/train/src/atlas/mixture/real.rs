//! The real countries as training may see them: without the held-out ones and without any page that names one.

use std::collections::{BTreeMap, BTreeSet};

use crate::atlas::countries::Country;
use crate::atlas::facts::Fact;
use crate::atlas::invent::Inventor;
use crate::atlas::pages::{Page, pages};
use crate::atlas::split::Split;
use crate::atlas::world::World;

/// Countries of the training split.
#[derive(Debug, Clone)]
pub struct RealCountries {
    countries: Vec<Country>,
    by_name: BTreeMap<String, usize>,
    /// Pages that name a held-out country: "New Zealand dollar" on an island's page, when New Zealand is held out.
    blocked: BTreeSet<(String, Fact)>,
    held_out: Vec<String>,
    flags: Vec<usize>,
}

impl RealCountries {
    /// Of a world.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let held_out: Vec<String> = world
            .entries()
            .iter()
            .filter(|entry| entry.split != Split::Train)
            .map(|entry| entry.country.name.clone())
            .collect();
        let named = |text: &str| held_out.iter().any(|name| mentions(text, name));
        let mut countries: Vec<Country> = world
            .entries()
            .iter()
            .filter(|entry| entry.split == Split::Train && !named(&entry.country.name))
            .map(|entry| entry.country.clone())
            .collect();
        for country in &mut countries {
            hide_neighbours(country, &named);
        }
        let blocked = countries
            .iter()
            .flat_map(|country| Fact::ALL.map(|fact| (country, fact)))
            .filter(|(country, fact)| fact.text(country).is_some_and(|text| named(&text)))
            .map(|(country, fact)| (country.name.clone(), fact))
            .collect();
        let by_name = countries.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect();
        Self { countries, by_name, blocked, flags: world.asked(Split::Train), held_out }
    }

    /// The countries.
    #[must_use]
    pub fn countries(&self) -> &[Country] {
        &self.countries
    }

    /// The country of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Country> {
        self.by_name.get(name).map(|&index| &self.countries[index])
    }

    /// Whether that page may be seen.
    #[must_use]
    pub fn may_show(&self, country: &str, fact: Fact) -> bool {
        !self.blocked.contains(&(country.to_owned(), fact))
    }

    /// The pages of a country that may be seen.
    #[must_use]
    pub fn pages(&self, country: &Country) -> Vec<Page> {
        let shown = |page: &Page| !self.names_held_out(&page.text);
        pages(country).into_iter().filter(shown).collect()
    }

    /// Whether a text names a held-out country.
    #[must_use]
    pub fn names_held_out(&self, text: &str) -> bool {
        self.held_out.iter().any(|name| mentions(text, name))
    }

    /// Makes names out of the words of those that may be seen, and never one that is held out.
    #[must_use]
    pub fn inventor(&self) -> Inventor {
        let texts =
            self.countries.iter().flat_map(|country| [&country.name, &country.capital, &country.demonym]);
        let words: BTreeSet<&str> = texts.flat_map(|text| text.split([' ', '-'])).collect();
        let words = words.into_iter().filter(|word| word.chars().count() >= 4 && !self.names_held_out(word));
        let words = words.map(str::to_owned).collect();
        let pages: Vec<Page> = self.countries.iter().flat_map(|country| self.pages(country)).collect();
        let letters = |word: &&str| word.chars().count() >= 3 && word.chars().all(char::is_alphabetic);
        let texts: BTreeSet<&str> =
            pages.iter().flat_map(|page| page.text.split_whitespace()).filter(letters).collect();
        Inventor::new(words, texts.into_iter().map(str::to_owned).collect(), self.held_out.clone())
    }

    /// Countries whose flags may be shown, as indices into the world.
    #[must_use]
    pub fn flags(&self) -> &[usize] {
        &self.flags
    }
}

/// Where the largest neighbour is held out there is none to tell of; smaller ones are left out.
fn hide_neighbours(country: &mut Country, named: &impl Fn(&str) -> bool) {
    if country.neighbours.first().is_some_and(|name| named(name)) {
        country.neighbours.clear();
    }
    country.neighbours.retain(|name| !named(name));
}

/// Whether `name` stands in `text` as words of its own.
#[must_use]
pub fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let after = text[start + found.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_words_only() {
        assert!(mentions("The capital of Niger is Niamey.", "Niger"));
        assert!(!mentions("The capital of Nigeria is Abuja.", "Niger"));
        assert!(mentions("South Sudan", "Sudan"));
    }
}
