//! Words only: pages, and drills in copying.

use loupe_agent::information::{image_hits, text_hits};
use loupe_mllm::engine::{Message, Role};

use super::{Mixture, hits};
use crate::atlas::countries::{Country, grouped};
use crate::atlas::facts::Fact;
use crate::atlas::pages::{Page, pages};
use crate::atlas::questions::Lookup;
use crate::atlas::rng::Rng;
use crate::atlas::{Split, wording};
use crate::learn::example::{Example, Turn};

/// How often a drill is about numbers: their digits are copied one by one, and every one of them has to be right.
const NUMBERS: f64 = 0.35;
/// How often what is to be repeated is numbers, made-up names, and letters without sense. There are a thousand tokens for
/// numbers, and each has to be seen many times before it can be copied: with one number in a run, `+962` became `+je`.
/// Letters bring the rare pieces of words that names of other lands are made of.
const REPEATED: [f64; 3] = [0.6, 0.15, 0.25];
/// Most numbers and most words of a line.
const LONGEST: [usize; 2] = [26, 10];

impl Mixture {
    /// One to three pages of a country, one below the other.
    pub(super) fn document(&self, rng: &mut Rng) -> Example {
        let mut pages = self.some_pages(rng);
        rng.shuffle(&mut pages);
        pages.truncate(1 + rng.below(3));
        let text =
            pages.iter().map(|page| format!("{}: {}", page.title, page.text)).collect::<Vec<_>>().join("\n");
        Example { kind: "document", turns: vec![Turn::Text { text, weight: 1.0 }], seen: Vec::new() }
    }

    fn some_pages(&self, rng: &mut Rng) -> Vec<Page> {
        let real = if rng.chance(self.config.invented) { None } else { rng.pick(self.real.countries()) };
        match real {
            Some(country) => self.real.pages(country),
            None => pages(&self.inventor.continent(3, rng)[0]),
        }
    }

    /// A few words or numbers, a bar, the same again.
    pub(super) fn repeat(&self, rng: &mut Rng) -> Example {
        let kind = rng.weighted(&REPEATED);
        let word = |rng: &mut Rng| match kind {
            0 => some_number(rng),
            1 => self.inventor.name(rng),
            _ => some_letters(rng),
        };
        let [numbers, names] = LONGEST;
        let count = 2 + rng.below(if kind == 0 { numbers } else { names } - 1);
        let words: Vec<String> = (0..count).map(|_| word(rng)).collect();
        let line = words.join(if kind == 0 { "; " } else { ", " });
        if rng.chance(0.5) {
            let text = format!("{line} | {line}");
            return Example {
                kind: "repeat",
                turns: vec![Turn::Text { text, weight: 1.0 }],
                seen: Vec::new(),
            };
        }
        let place = rng.below(words.len());
        let (asked, said) = match rng.below(2) {
            0 => (format!("Say again: {line}"), line.clone()),
            _ => (format!("{line}\nWhich is number {}?", place + 1), words[place].clone()),
        };
        self.exchange("repeat", asked, said)
    }

    /// What a search found, and a question that one of its lines answers.
    pub(super) fn recall(&self, rng: &mut Rng) -> Example {
        let invented = self.inventor.continent(6, rng);
        let world: Vec<&Country> = invented.iter().collect();
        let country = world[0];
        if rng.chance(0.3) {
            let listed = image_hits(&hits::image(&country.name, &world, rng));
            let asked = format!("<information>\n{listed}\n</information>\nWhose flag is it?");
            return self.exchange("recall", asked, country.name.clone());
        }
        let numbers = [Fact::Area, Fact::CallingCode];
        let fact = if rng.chance(NUMBERS) { rng.one_of(numbers) } else { rng.one_of(Fact::ALL) };
        let Some(gold) = fact.gold(country) else { return self.repeat(rng) };
        let lookup = Lookup { country: country.name.clone(), fact, gold };
        let listed = text_hits(&hits::text(&lookup, &world, |_, _| true, rng));
        let question = wording::fact(fact).draw(Split::Train, rng).replace("{c}", &country.name);
        let asked = format!("<information>\n{listed}\n</information>\n{question}");
        self.exchange("recall", asked, lookup.gold.answer)
    }

    pub(super) fn exchange(&self, kind: &'static str, asked: String, said: String) -> Example {
        let messages = vec![Message::text(Role::User, asked), Message::text(Role::Assistant, said)];
        self.conversation(kind, messages, Vec::new())
    }
}

/// Of one to seven digits, as pages write areas and calling codes.
fn some_number(rng: &mut Rng) -> String {
    let below = 10_usize.pow(1 + rng.below(7) as u32);
    let number = rng.below(below);
    if rng.chance(0.4) { format!("+{number}") } else { grouped(number as f64) }
}

/// Up to nine letters, the first of them a capital as often as not.
fn some_letters(rng: &mut Rng) -> String {
    let letter = |rng: &mut Rng| char::from(b"abcdefghijklmnopqrstuvwxyz"[rng.below(26)]);
    let first = letter(rng);
    let first = if rng.chance(0.5) { first.to_ascii_uppercase() } else { first };
    let others = rng.below(9);
    std::iter::once(first).chain((0..others).map(|_| letter(rng))).collect()
}
