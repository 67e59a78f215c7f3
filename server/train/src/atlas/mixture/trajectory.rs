//! Whole runs of the agent with searches that are made up: what is asked, what is found, what is answered.

use std::borrow::Cow;
use std::sync::Arc;

use loupe_agent::dialect::ImageTarget;
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::Hit;

use super::{Mixture, hits, seen};
use crate::atlas::countries::Country;
use crate::atlas::crop::{cut, loose_frame};
use crate::atlas::episode::{Episode, known_at_end};
use crate::atlas::facts::Fact;
use crate::atlas::invent::Inventor;
use crate::atlas::questions::{Chain, Lookup, plan, subjects};
use crate::atlas::refer::{Phrase, Pointer};
use crate::atlas::rng::Rng;
use crate::atlas::scene::close_up;
use crate::atlas::split::Split;
use crate::learn::example::{Example, Seen};

/// How often the picture is a flag alone, and how often the user framed a flag in a scene.
const CLOSE_UP: f64 = 0.12;
const FRAMED: f64 = 0.2;
/// How often the first search by picture finds nothing.
const UNCLEAR: f64 = 0.05;
/// Countries of a made-up world.
const INVENTED: usize = 7;

/// A question put to a picture.
pub(super) struct Setting {
    pub(super) pictures: Vec<Arc<Rgb8>>,
    pub(super) seen: Vec<Seen>,
    pub(super) framed: bool,
    pub(super) phrase: Phrase,
    /// What to search by, and what to try when that finds nothing.
    targets: [ImageTarget; 2],
}

/// A chain with the countries around it, real or made up.
pub(super) struct Story<'a> {
    pub(super) chain: Chain,
    countries: Vec<Cow<'a, Country>>,
    real: bool,
}

impl Mixture {
    pub(super) fn trajectory(&self, rng: &mut Rng) -> Example {
        let setting = self.setting(rng);
        self.tell("trajectory", setting, rng)
    }

    pub(super) fn setting(&self, rng: &mut Rng) -> Setting {
        match rng.weighted(&[CLOSE_UP, FRAMED, 1.0 - CLOSE_UP - FRAMED]) {
            0 => self.close_up(rng),
            1 => self.in_scene(true, rng),
            _ => self.in_scene(false, rng),
        }
    }

    /// The same run with the pictures left out.
    pub(super) fn text_trajectory(&self, rng: &mut Rng) -> Example {
        let look = crate::atlas::objects::Look::draw(rng);
        let pointer = rng.one_of([
            Pointer::Only,
            Pointer::Left,
            Pointer::Right,
            Pointer::Top,
            Pointer::Bottom,
            Pointer::Largest,
            Pointer::Smallest,
            Pointer::Beside(look),
        ]);
        let phrase = pointer.phrase(rng);
        let targets = [ImageTarget::Expression(phrase.flag.clone()), ImageTarget::Whole];
        let setting = Setting { pictures: Vec::new(), seen: Vec::new(), framed: false, phrase, targets };
        self.tell("text_trajectory", setting, rng)
    }

    fn close_up(&self, rng: &mut Rng) -> Setting {
        let flag = rng.pick(self.real.flags()).copied().unwrap_or_default();
        let picture = Arc::new(close_up(self.world.texture(flag), rng));
        let phrase = if rng.chance(0.5) { Pointer::Only.phrase(rng) } else { Pointer::Framed.phrase(rng) };
        let targets = [ImageTarget::Whole, ImageTarget::Expression("the flag".to_owned())];
        // The labels are of scenes; a flag that fills the picture teaches nothing about where.
        Setting { pictures: vec![picture], seen: Vec::new(), framed: false, phrase, targets }
    }

    /// A scene with a flag that can be pointed at; drawn anew until there is one.
    fn in_scene(&self, framed: bool, rng: &mut Rng) -> Setting {
        let (scene, flag, pointer) = loop {
            let scene = self.scene(rng);
            let all = subjects(&scene);
            let Some((flag, pointers)) = rng.pick(&all) else { continue };
            if let Some(&pointer) = rng.pick(pointers) {
                break (scene, *flag, pointer);
            }
        };
        let pointed = pointer.phrase(rng);
        let words = ImageTarget::Expression(pointed.flag.clone());
        let mut pictures = vec![Arc::new(scene.picture.clone())];
        let seen = seen(&scene);
        if !framed {
            return Setting { pictures, seen, framed, phrase: pointed, targets: [words, ImageTarget::Whole] };
        }
        let frame = loose_frame(&scene.flags[flag].bounds, rng);
        pictures.push(Arc::new(cut(&scene.picture, &frame).unwrap_or_else(|_outside| scene.picture.clone())));
        let phrase = if rng.chance(0.6) { Pointer::Framed.phrase(rng) } else { pointed };
        Setting { pictures, seen, framed, phrase, targets: [ImageTarget::Whole, words] }
    }

    fn tell(&self, kind: &'static str, setting: Setting, rng: &mut Rng) -> Example {
        let story = self.story(rng.weighted(&self.config.hops), rng);
        let question = story.chain.question(&setting.phrase, Split::Train, rng);
        let context = self.context(setting.framed);
        let mut episode = Episode::ask(self.dialect.as_ref(), context, &question, &setting.pictures);
        let [target, other] = setting.targets;
        let found = self.image_hits(&story, rng);
        if rng.chance(UNCLEAR) {
            episode.search_image(target, &story.chain, &[]);
            episode.search_image_again(other, &found);
        } else {
            episode.search_image(target, &story.chain, &found);
        }
        for (step, lookup) in story.chain.lookups.iter().enumerate() {
            let found = self.text_hits(&story, lookup, rng);
            episode.search_text(&story.chain, step, &found);
        }
        episode.answer(&known_at_end(&story.chain), &story.chain.gold().answer);
        self.conversation(kind, episode.into_messages(), setting.seen)
    }

    pub(super) fn text_hits(&self, story: &Story<'_>, lookup: &Lookup, rng: &mut Rng) -> Vec<Hit> {
        let world: Vec<&Country> = story.countries.iter().map(AsRef::as_ref).collect();
        let may_show = |name: &str, fact: Fact| !story.real || self.real.may_show(name, fact);
        hits::text(lookup, &world, may_show, rng)
    }

    pub(super) fn image_hits(&self, story: &Story<'_>, rng: &mut Rng) -> Vec<Hit> {
        let world: Vec<&Country> = story.countries.iter().map(AsRef::as_ref).collect();
        hits::image(&story.chain.country, &world, rng)
    }

    /// A chain of `hops` look-ups through the real or a made-up world; shorter where the world does not carry it.
    pub(super) fn story(&self, hops: usize, rng: &mut Rng) -> Story<'_> {
        let real = !rng.chance(self.config.invented);
        for hops in (0..=hops).rev() {
            let story =
                if real { self.real_story(hops, rng) } else { invented_story(&self.inventor, hops, rng) };
            if let Some(story) = story {
                return story;
            }
        }
        let country = self.inventor.continent(INVENTED, rng).swap_remove(0);
        let chain = Chain { country: country.name.clone(), lookups: Vec::new() };
        Story { chain, countries: vec![Cow::Owned(country)], real: false }
    }

    fn real_story(&self, hops: usize, rng: &mut Rng) -> Option<Story<'_>> {
        for _ in 0..40 {
            let start = rng.pick(self.real.countries())?;
            let known = |name: &str| self.real.find(name).map(Cow::Borrowed);
            let Some(chain) = plan(start, hops, known, rng) else { continue };
            if chain.lookups.iter().all(|lookup| self.real.may_show(&lookup.country, lookup.fact)) {
                let countries = self.real.countries().iter().map(Cow::Borrowed).collect();
                return Some(Story { chain, countries, real: true });
            }
        }
        None
    }
}

fn invented_story<'a>(inventor: &Inventor, hops: usize, rng: &mut Rng) -> Option<Story<'a>> {
    for _ in 0..20 {
        let world = inventor.continent(INVENTED, rng);
        let known = |name: &str| world.iter().find(|c| c.name == name).map(Cow::Borrowed);
        if let Some(chain) = plan(&world[0], hops, known, rng) {
            return Some(Story {
                chain,
                countries: world.into_iter().map(Cow::Owned).collect(),
                real: false,
            });
        }
    }
    None
}
