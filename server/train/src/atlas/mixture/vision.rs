//! Seeing: what is in a scene, where it lies, and questions that it answers.

use std::sync::Arc;

use loupe_agent::conversation::user_turn;
use loupe_agent::dialect::{QueryContext, ViewSize};
use loupe_mllm::engine::{Message, Role};
use loupe_shared::pixels::Rgb8;

use super::{Mixture, seen};
use crate::atlas::bounds::Bounds;
use crate::atlas::episode::Episode;
use crate::atlas::rng::Rng;
use crate::atlas::scene::{FlagChoice, SCENE_SIDE, Scene, compose, compose_among};
use crate::atlas::split::Split;
use crate::atlas::visual;
use crate::learn::example::Example;

/// Boxes are written in steps of this many pixels, so that their numbers are few.
const STEP: i32 = 4;
/// Things located and questions asked in a survey, at most.
const LOCATED: usize = 4;
const ASKED: usize = 4;
/// Most objects of a full scene.
const FULL: usize = 9;

impl Mixture {
    /// A scene with one to four flags of the training split.
    pub(super) fn scene(&self, rng: &mut Rng) -> Scene {
        compose(&self.flags(rng), rng)
    }

    /// The same with more objects than questions are asked about: more to see in every picture.
    fn full_scene(&self, rng: &mut Rng) -> Scene {
        compose_among(&self.flags(rng), FULL, rng)
    }

    fn flags(&self, rng: &mut Rng) -> Vec<FlagChoice<'_>> {
        let count = 1 + rng.weighted(&[0.34, 0.26, 0.24, 0.16]);
        let mut countries: Vec<usize> = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(&country) = rng.pick(self.real.flags()) else { break };
            if !countries.contains(&country) {
                countries.push(country);
            }
        }
        countries.into_iter().map(|c| (c, self.world.texture(c))).collect()
    }

    /// Everything in a scene with its box, from left to right.
    pub(super) fn description(&self, rng: &mut Rng) -> Example {
        let scene = self.scene(rng);
        let flags = scene.flags.iter().map(|flag| ("flag".to_owned(), flag.bounds));
        let objects = scene.objects.iter().map(|object| (object.look.name(), object.bounds));
        let mut things: Vec<(String, Bounds)> = flags.chain(objects).collect();
        things.sort_by_key(|(_, bounds)| bounds.centre2());
        let line = |(name, bounds): &(String, Bounds)| format!("{name} {:?}", self.view_box(bounds));
        let said = things.iter().map(line).collect::<Vec<_>>().join("\n");
        self.look("description", &scene, "Describe the picture.".to_owned(), said)
    }

    /// Where one thing is.
    pub(super) fn grounding(&self, rng: &mut Rng) -> Example {
        let scene = self.scene(rng);
        let all = visual::locatable(&scene, rng);
        // Flags are what is searched for; objects help to see.
        let flags: Vec<_> = all.iter().filter(|(name, _)| name.contains("flag")).cloned().collect();
        let choice = if rng.chance(0.8) { rng.pick(&flags).or(all.first()) } else { rng.pick(&all) };
        let Some((name, bounds)) = choice else { return self.visual_of(&scene, rng) };
        let said = self.dialect.render_box(self.view_box(bounds));
        self.look("grounding", &scene, self.dialect.grounding_prompt(name), said)
    }

    /// Several things to find and to tell about one scene: its picture is seen once and taught by many times.
    pub(super) fn survey(&self, rng: &mut Rng) -> Example {
        let scene = if rng.chance(0.6) { self.full_scene(rng) } else { self.scene(rng) };
        let mut things = visual::locatable(&scene, rng);
        rng.shuffle(&mut things);
        let mut exchanges: Vec<(String, String)> = things
            .iter()
            .take(LOCATED)
            .map(|(name, bounds)| {
                (self.dialect.grounding_prompt(name), self.dialect.render_box(self.view_box(bounds)))
            })
            .collect();
        for _ in 0..ASKED {
            let asked = visual::ask(&scene, Split::Train, rng);
            exchanges.push((asked.question, asked.gold.answer));
        }
        rng.shuffle(&mut exchanges);
        let picture: Arc<Rgb8> = Arc::new(scene.picture.clone());
        let messages = exchanges.into_iter().enumerate().flat_map(|(turn, (asked, said))| {
            let pictures = if turn == 0 { std::slice::from_ref(&picture) } else { &[] };
            [user_turn(pictures, asked), Message::text(Role::Assistant, said)]
        });
        self.conversation("survey", messages.collect(), seen(&scene))
    }

    /// A search-free question and its answer in a few words.
    pub(super) fn glance(&self, rng: &mut Rng) -> Example {
        let scene = self.scene(rng);
        let asked = visual::ask(&scene, Split::Train, rng);
        self.look("glance", &scene, asked.question, asked.gold.answer)
    }

    /// A search-free question as the agent meets it.
    pub(super) fn visual(&self, rng: &mut Rng) -> Example {
        let scene = self.scene(rng);
        self.visual_of(&scene, rng)
    }

    fn visual_of(&self, scene: &Scene, rng: &mut Rng) -> Example {
        let ask = |question: &str, pictures: &[Arc<Rgb8>]| {
            Episode::ask(self.dialect.as_ref(), self.context(false), question, pictures)
        };
        self.by_sight("visual", scene, ask, rng)
    }

    /// A question that the picture answers, opened by `ask`.
    pub(super) fn by_sight<'a>(
        &self,
        kind: &'static str,
        scene: &Scene,
        ask: impl FnOnce(&str, &[Arc<Rgb8>]) -> Episode<'a>,
        rng: &mut Rng,
    ) -> Example {
        let asked = visual::ask(scene, Split::Train, rng);
        let mut episode = ask(&asked.question, &[Arc::new(scene.picture.clone())]);
        episode.answer("I can see it.", &asked.gold.answer);
        self.conversation(kind, episode.into_messages(), seen(scene))
    }

    fn look(&self, kind: &'static str, scene: &Scene, asked: String, said: String) -> Example {
        let picture: Arc<Rgb8> = Arc::new(scene.picture.clone());
        let messages = vec![user_turn(&[picture], asked), Message::text(Role::Assistant, said)];
        self.conversation(kind, messages, seen(scene))
    }

    /// What the dialect has to know of a query about a scene.
    pub(super) fn context(&self, framed: bool) -> QueryContext {
        let side = self.config.view_side;
        QueryContext { view: Some(ViewSize { width: side, height: side }), framed, lang: None }
    }

    /// Left, top, right, bottom in pixels of the scene as the model sees it, in steps.
    fn view_box(&self, bounds: &Bounds) -> [u32; 4] {
        let (side, view) = (SCENE_SIDE as i32, self.config.view_side as i32);
        [bounds.left, bounds.top, bounds.right, bounds.bottom].map(|edge| {
            let scaled = (2 * edge * view + side * STEP) / (2 * side * STEP) * STEP;
            scaled.clamp(0, view) as u32
        })
    }
}
