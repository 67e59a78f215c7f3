//! Questions: those that the picture answers, and those that need one search by picture and up to three by words.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::countries::Country;
use super::facts::{Fact, Gold};
use super::refer::{Phrase, Pointer};
use super::rng::Rng;
use super::split::Split;
use super::wording;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum Category {
    /// A fact of a country.
    Fact(Fact),
    /// Something else.
    Other(OtherCategory),
}

/// Questions that end in no page of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherCategory {
    /// Whose flag it is: one search by picture.
    Country,
    /// How many flags: search-free.
    Count,
    /// Which colour: search-free.
    Colour,
    /// Which shape: search-free.
    Shape,
    /// Left or right, top or bottom: search-free.
    Side,
}

impl Category {
    /// Its name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fact(fact) => fact.as_str(),
            Self::Other(OtherCategory::Country) => "country",
            Self::Other(OtherCategory::Count) => "count",
            Self::Other(OtherCategory::Colour) => "colour",
            Self::Other(OtherCategory::Shape) => "shape",
            Self::Other(OtherCategory::Side) => "side",
        }
    }
}

/// One search by words: what is asked of whom, and what it brings.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The country whose page it is.
    pub country: String,
    /// Which page.
    pub fact: Fact,
    /// What the page says.
    pub gold: Gold,
}

impl Lookup {
    /// The words to search for.
    #[must_use]
    pub fn query(&self) -> String {
        self.fact.query(&self.country)
    }
}

/// A question that needs searching, with the way to its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Whose flag it starts from.
    pub country: String,
    /// Pages to read after the flag is known, in order; none for "whose flag is this".
    pub lookups: Vec<Lookup>,
}

impl Chain {
    /// What is right.
    #[must_use]
    pub fn gold(&self) -> Gold {
        self.lookups.last().map_or_else(|| Gold::only(&self.country), |lookup| lookup.gold.clone())
    }

    /// The category of the question: that of its last page.
    #[must_use]
    pub fn category(&self) -> Category {
        self.lookups
            .last()
            .map_or(Category::Other(OtherCategory::Country), |lookup| Category::Fact(lookup.fact))
    }

    /// Pages to read after the flag is known.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.lookups.len()
    }

    /// The question in words of a split.
    pub fn question(&self, phrase: &Phrase, split: Split, rng: &mut Rng) -> String {
        let fill = |text: &str| text.replace("{is}", &phrase.is).replace("{flag}", &phrase.flag);
        let mut subject = fill(wording::COUNTRY.draw(split, rng));
        let Some((last, before)) = self.lookups.split_last() else {
            return fill(wording::WHOSE_FLAG.draw(split, rng)).replace("{c}", &subject);
        };
        for _ in before {
            subject = wording::NEIGHBOUR_OF.draw(split, rng).replace("{c}", &subject);
        }
        wording::fact(last.fact).draw(split, rng).replace("{c}", &subject)
    }
}

/// Plans a chain of `hops` pages that starts from `start`: the largest neighbour, again, and at last another fact. None
/// where the chain would break off at an island, come back to where it was, or leave what `known` knows.
pub fn plan<'a>(
    start: &'a Country,
    hops: usize,
    known: impl Fn(&str) -> Option<Cow<'a, Country>>,
    rng: &mut Rng,
) -> Option<Chain> {
    let mut chain = Chain { country: start.name.clone(), lookups: Vec::new() };
    let mut visited = vec![start.name.clone()];
    let mut current = Cow::Borrowed(start);
    for _ in 1..hops {
        let gold = Fact::Neighbour.gold(&current)?;
        let next = known(&gold.answer)?;
        if visited.contains(&next.name) {
            return None;
        }
        chain.lookups.push(Lookup { country: current.name.clone(), fact: Fact::Neighbour, gold });
        visited.push(next.name.clone());
        current = next;
    }
    if hops > 0 {
        let fact = last_fact(&current, &visited, rng)?;
        chain.lookups.push(Lookup { country: current.name.clone(), fact, gold: fact.gold(&current)? });
    }
    Some(chain)
}

/// A fact that the country has; a neighbour only where it was not named before.
fn last_fact(country: &Country, visited: &[String], rng: &mut Rng) -> Option<Fact> {
    let mut facts = Fact::ALL;
    rng.shuffle(&mut facts);
    facts.into_iter().find(|fact| {
        fact.gold(country).is_some_and(|gold| *fact != Fact::Neighbour || !visited.contains(&gold.answer))
    })
}

/// A question that the picture answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Visual {
    /// Its category.
    pub category: OtherCategory,
    /// The question.
    pub question: String,
    /// What is right.
    pub gold: Gold,
}

/// Which flags can be asked about, and how.
#[must_use]
pub fn subjects(scene: &super::scene::Scene) -> Vec<(usize, Vec<Pointer>)> {
    let all = (0..scene.flags.len()).map(|index| (index, super::refer::pointers(scene, index)));
    all.filter(|(_, pointers)| !pointers.is_empty()).collect()
}
