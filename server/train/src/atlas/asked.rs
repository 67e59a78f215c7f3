//! A scene and a question about it, drawn for a split: its countries, its wordings.

use std::borrow::Cow;

use loupe_shared::pixels::Region;

use super::countries::Country;
use super::crop::loose_frame;
use super::facts::Gold;
use super::mixture::real::RealCountries;
use super::questions::{Category, Chain, Lookup, plan, subjects};
use super::refer::Pointer;
use super::rng::Rng;
use super::scene::{Scene, compose};
use super::split::Split;
use super::visual;
use super::world::World;

/// How often a chain has no page, one, two or three after the flag.
const HOPS: [f64; 4] = [0.1, 0.4, 0.3, 0.2];
/// How often the user framed the flag.
const FRAMED: f64 = 0.2;

/// What a question needs.
#[derive(Debug, Clone)]
pub enum Need {
    /// Nothing but the picture.
    Picture,
    /// A search by picture for one of the scene's flags, then one search by words for each page of the chain.
    Search {
        /// The way to the answer.
        chain: Chain,
        /// Index of the flag in the scene.
        flag: usize,
        /// Words that point at it.
        expression: String,
        /// The part that the user framed.
        framed: Option<Region>,
    },
}

/// A question about a scene.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The scene.
    pub scene: Scene,
    /// The question.
    pub question: String,
    /// What is right.
    pub gold: Gold,
    /// What it is about.
    pub category: Category,
    /// What it needs.
    pub need: Need,
}

impl Asked {
    /// Pages to read after the flag is known; 0 also where nothing is searched.
    #[must_use]
    pub fn hops(&self) -> usize {
        match &self.need {
            Need::Picture => 0,
            Need::Search { chain, .. } => chain.hops(),
        }
    }
}

/// Draws questions of a split.
pub struct Asker<'a> {
    world: &'a World,
    real: RealCountries,
    split: Split,
    flags: Vec<usize>,
}

impl<'a> Asker<'a> {
    /// Of a world and a split; none where nothing can be asked in it.
    #[must_use]
    pub fn new(world: &'a World, split: Split) -> Option<Self> {
        let flags = world.asked(split);
        (!flags.is_empty()).then(|| Self { world, real: RealCountries::new(world), split, flags })
    }

    /// The countries as training may see them.
    #[must_use]
    pub fn real(&self) -> &RealCountries {
        &self.real
    }

    /// A question that the picture answers.
    pub fn visual(&self, rng: &mut Rng) -> Asked {
        let scene = self.scene(rng);
        let asked = visual::ask(&scene, self.split, rng);
        let category = Category::Other(asked.category);
        Asked { scene, question: asked.question, gold: asked.gold, category, need: Need::Picture }
    }

    /// A question that needs searching. Scenes and chains are drawn until both fit; after 200 tries in a world that has no
    /// such chains, the question is whose flag it is.
    pub fn search(&self, rng: &mut Rng) -> Asked {
        let hops = rng.weighted(&HOPS);
        let mut tries = 0;
        loop {
            tries += 1;
            let scene = self.scene(rng);
            let all = subjects(&scene);
            let Some((flag, pointers)) = rng.pick(&all) else { continue };
            let Some(&pointer) = rng.pick(pointers) else { continue };
            let start = &self.world.entries()[scene.flags[*flag].country].country;
            let Some(chain) = self.chain(start, if tries < 200 { hops } else { 0 }, rng) else { continue };
            return self.ask(scene.clone(), *flag, pointer, chain, rng);
        }
    }

    fn ask(&self, scene: Scene, flag: usize, pointer: Pointer, chain: Chain, rng: &mut Rng) -> Asked {
        let pointed = pointer.phrase(rng);
        let framed = rng.chance(FRAMED).then(|| loose_frame(&scene.flags[flag].bounds, rng));
        let phrase =
            if framed.is_some() && rng.chance(0.6) { Pointer::Framed.phrase(rng) } else { pointed.clone() };
        let question = chain.question(&phrase, self.split, rng);
        let (gold, category) = (chain.gold(), chain.category());
        let need = Need::Search { chain, flag, expression: pointed.flag, framed };
        Asked { scene, question, gold, category, need }
    }

    /// A chain from a country. In training it stays among what training may see; else it may lead anywhere.
    fn chain(&self, start: &'a Country, hops: usize, rng: &mut Rng) -> Option<Chain> {
        if self.split != Split::Train {
            let known = |name: &str| {
                self.world.find(name).map(|index| Cow::Borrowed(&self.world.entries()[index].country))
            };
            return plan(start, hops, known, rng);
        }
        let start = self.real.find(&start.name)?;
        let chain = plan(start, hops, |name| self.real.find(name).map(Cow::Borrowed), rng)?;
        chain.lookups.iter().all(|lookup| self.may_read(lookup)).then_some(chain)
    }

    /// Whether the page as it is written names no held-out country.
    fn may_read(&self, lookup: &Lookup) -> bool {
        let country = self.world.find(&lookup.country).map(|index| &self.world.entries()[index].country);
        let text = country.and_then(|country| lookup.fact.text(country));
        text.is_some_and(|text| !self.real.names_held_out(&text))
    }

    /// Questions to try on a scene, in the words of training: one or two searches, and one that needs none.
    pub(super) fn sample_questions(&self, scene: &Scene, rng: &mut Rng) -> Vec<String> {
        let mut questions = Vec::new();
        for (flag, pointers) in subjects(scene).into_iter().take(2) {
            let start = &self.world.entries()[scene.flags[flag].country].country;
            let chain = (1..=2).rev().find_map(|hops| self.chain(start, hops.min(2 - questions.len()), rng));
            if let (Some(chain), Some(pointer)) = (chain, rng.pick(&pointers)) {
                questions.push(chain.question(&pointer.phrase(rng), Split::Train, rng));
            }
        }
        questions.push(visual::ask(scene, Split::Train, rng).question);
        questions
    }

    /// A scene of one to four flags of the split.
    pub(super) fn scene(&self, rng: &mut Rng) -> Scene {
        let mut flags = self.flags.clone();
        rng.shuffle(&mut flags);
        flags.truncate(1 + rng.below(4));
        let choices: Vec<_> =
            flags.into_iter().map(|country| (country, self.world.texture(country))).collect();
        compose(&choices, rng)
    }
}
