//! The nine facts that the Atlas knows of a country: where each is written, how it is asked for, what is right.

use serde::{Deserialize, Serialize};

use super::countries::{Country, grouped};
use super::rng::fnv1a;

/// A kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The capital.
    Capital,
    /// The currency.
    Currency,
    /// The official languages.
    Language,
    /// The largest neighbour.
    Neighbour,
    /// The area.
    Area,
    /// The calling code.
    CallingCode,
    /// The internet domain.
    Domain,
    /// What its people are called.
    Demonym,
    /// The part of the world.
    Region,
}

/// What counts as right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gold {
    /// The answer as the page states it.
    pub answer: String,
    /// Other forms that are as right.
    pub aliases: Vec<String>,
}

impl Gold {
    /// An answer with no other form.
    #[must_use]
    pub fn only(answer: impl Into<String>) -> Self {
        Self { answer: answer.into(), aliases: Vec::new() }
    }

    fn first_of(values: &[String]) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        Some(Self { answer: first.clone(), aliases: rest.to_vec() })
    }
}

impl Fact {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Capital,
        Self::Currency,
        Self::Language,
        Self::Neighbour,
        Self::Area,
        Self::CallingCode,
        Self::Domain,
        Self::Demonym,
        Self::Region,
    ];

    /// Its name in files: also the category of questions that end in it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capital => "capital",
            Self::Currency => "currency",
            Self::Language => "language",
            Self::Neighbour => "neighbour",
            Self::Area => "area",
            Self::CallingCode => "calling_code",
            Self::Domain => "domain",
            Self::Demonym => "demonym",
            Self::Region => "region",
        }
    }

    /// What it is called in a title and in a query, before "of" and the country.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Capital => "capital",
            Self::Currency => "currency",
            Self::Language => "languages",
            Self::Neighbour => "neighbours",
            Self::Area => "area",
            Self::CallingCode => "calling code",
            Self::Domain => "internet domain",
            Self::Demonym => "people",
            Self::Region => "region",
        }
    }

    /// The words that find its page.
    #[must_use]
    pub fn query(self, name: &str) -> String {
        format!("{} of {name}", self.noun())
    }

    /// The title of its page.
    #[must_use]
    pub fn title(self, name: &str) -> String {
        let query = self.query(name);
        let mut letters = query.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }

    /// What is right, or none where the country has no such fact (an island has no neighbour).
    #[must_use]
    pub fn gold(self, country: &Country) -> Option<Gold> {
        match self {
            Self::Capital => Some(Gold::only(&country.capital)),
            Self::Currency => Gold::first_of(&country.currencies),
            Self::Language => Gold::first_of(&country.languages),
            Self::Neighbour => country.neighbours.first().map(Gold::only),
            Self::Area => Some(area(country.area)),
            Self::CallingCode => Some(calling_code(&country.calling_code)),
            Self::Domain => Gold::first_of(&country.domains),
            Self::Demonym => Some(Gold::only(&country.demonym)),
            Self::Region => Some(Gold::only(&country.region)),
        }
    }

    /// The text of its page: the fact in one sentence and a second that adds nothing to look up. Short enough that
    /// a search shows it whole. Which of the wordings is used depends on the country's name alone.
    #[must_use]
    pub fn text(self, country: &Country) -> Option<String> {
        let gold = self.gold(country)?;
        let wordings = self.wordings();
        let wording = wordings[(fnv1a(country.name.as_bytes()) % wordings.len() as u64) as usize];
        let value = match self {
            Self::Language => listed(&country.languages),
            Self::Currency => listed(&country.currencies),
            _ => gold.answer,
        };
        // "Washington D.C." brings a full stop of its own.
        let mut text = wording.replace("{n}", &country.name).replace("{v}", &value).replace("..", ".");
        if self == Self::Neighbour {
            text.push_str(&smaller_neighbours(&country.neighbours));
        }
        Some(text)
    }

    fn wordings(self) -> [&'static str; 2] {
        match self {
            Self::Capital => [
                "The capital of {n} is {v}. The government sits there, and most visitors see it first.",
                "{v} is the capital of {n}. Its parliament and its main offices stand in this city.",
            ],
            Self::Currency => [
                "The currency of {n} is the {v}. Prices, wages and taxes are counted in it.",
                "People in {n} pay with the {v}. Banks and shops in every town take it.",
            ],
            Self::Language => [
                "Official in {n}: {v}. Schools teach and newspapers print accordingly.",
                "People in {n} speak {v}. Laws and road signs are written accordingly.",
            ],
            Self::Neighbour => [
                "The largest neighbour of {n} is {v}. They share a land border.",
                "{n} has {v} as its largest neighbour. They share a land border.",
            ],
            Self::Area => [
                "{n} covers an area of {v}. Lakes and rivers are counted as parts of it.",
                "The area of {n} is {v}. Islands that belong to it are counted as well.",
            ],
            Self::CallingCode => [
                "The calling code of {n} is {v}. Dial it first to phone someone there from abroad.",
                "To phone someone in {n} from abroad, dial {v} first and then the number itself.",
            ],
            Self::Domain => [
                "The internet domain of {n} is {v}. Web addresses of its offices and shops end in it.",
                "Web addresses in {n} end in {v}. Offices, schools and shops there use this domain.",
            ],
            Self::Demonym => [
                "A person from {n} is called {v}. The same word names what is made there.",
                "The people of {n} are called {v}. The same word names what is made there.",
            ],
            Self::Region => [
                "{n} lies in {v}. Maps and yearbooks list it with the other countries there.",
                "The region of {n} is {v}. Yearbooks list it with the other countries there.",
            ],
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// At most two more, so that the page stays short.
fn smaller_neighbours(neighbours: &[String]) -> String {
    let smaller = &neighbours[neighbours.len().min(1)..neighbours.len().min(3)];
    if smaller.is_empty() {
        return String::new();
    }
    format!(" Smaller: {}.", listed(smaller))
}

fn area(km2: f64) -> Gold {
    let number = grouped(km2);
    let plain = number.replace(',', "");
    let aliases = vec![number.clone(), plain.clone(), format!("{number} km²"), format!("{plain} km2")];
    Gold { answer: format!("{number} square kilometres"), aliases }
}

fn calling_code(code: &str) -> Gold {
    let digits = code.trim_start_matches('+');
    Gold { answer: code.to_owned(), aliases: vec![digits.to_owned(), format!("00{digits}")] }
}
