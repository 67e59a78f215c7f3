//! What the searches would have found: the right page nearly always, first most of the time, among pages that a real
//! index returns beside it.

use loupe_shared::protocol::Hit;

use crate::atlas::countries::Country;
use crate::atlas::facts::Fact;
use crate::atlas::pages::{fact_page, flag_page, flag_title};
use crate::atlas::questions::Lookup;
use crate::atlas::rng::Rng;

/// How often a distractor of the same country is the page of its flag: the local index likes it for its few words.
const FLAG_PAGE: f64 = 0.4;

/// Hits of an image search: the flag's page first, four others after it.
pub(super) fn image(country: &str, others: &[&Country], rng: &mut Rng) -> Vec<Hit> {
    let mut names: Vec<&str> =
        others.iter().map(|c| c.name.as_str()).filter(|name| *name != country).collect();
    rng.shuffle(&mut names);
    names.truncate(4);
    names.insert(0, country);
    let page = |name: &str| (flag_title(name), format!("This is the flag of {name}."));
    ranked(names.into_iter().map(page).collect())
}

/// Hits of a text search: the page of `lookup` first in 7 of 10 cases, else second or third; beside it other facts of
/// the same country and the same fact of others. `may_show` refuses pages that must not be seen.
pub(super) fn text(
    lookup: &Lookup,
    world: &[&Country],
    may_show: impl Fn(&str, Fact) -> bool,
    rng: &mut Rng,
) -> Vec<Hit> {
    let mut pages: Vec<(String, String)> = Vec::new();
    let right = world.iter().find(|c| c.name == lookup.country);
    for _ in 0..12 {
        if pages.len() == 2 {
            break;
        }
        let same_country = rng.chance(0.65);
        let country = if same_country { right } else { rng.pick(world) };
        let fact = if same_country { rng.one_of(Fact::ALL) } else { lookup.fact };
        let Some(country) = country else { continue };
        let is_right = country.name == lookup.country && fact == lookup.fact;
        if is_right || !may_show(&country.name, fact) {
            continue;
        }
        let page = if same_country && rng.chance(FLAG_PAGE) {
            Some(flag_page(country))
        } else {
            fact_page(country, fact)
        };
        let Some(page) = page else { continue };
        if pages.iter().all(|(title, _)| *title != page.title) {
            pages.push((page.title, page.text));
        }
    }
    if let Some(page) = right.and_then(|country| fact_page(country, lookup.fact)) {
        let place = rng.weighted(&[0.7, 0.2, 0.1]).min(pages.len());
        pages.insert(place, (page.title, page.text));
    }
    ranked(pages)
}

fn ranked(pages: Vec<(String, String)>) -> Vec<Hit> {
    let hit = |(rank, (title, snippet)): (u32, (String, String))| Hit {
        rank,
        title,
        url: String::new(),
        snippet,
        thumb: None,
    };
    (1..).zip(pages).map(hit).collect()
}
