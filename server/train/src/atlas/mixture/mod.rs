//! What the pocket model is trained on: an endless stream drawn by (seed, index) and rendered on the fly. Nothing of a
//! held-out country is in it, neither its flag nor its name.
//!
//! - [`real`]: the countries that training may see.
//! - `text`: pages and copying drills; `vision`: what is to be seen where; `trajectory`: whole runs of the agent.
//! - `answer`: the one turn of the workflows that do not let the model search.
//! - `hits`: what the searches would have found.

mod answer;
mod hits;
pub mod real;
mod text;
mod trajectory;
mod vision;

use std::sync::Arc;

use loupe_agent::dialect::Dialect;
use loupe_mllm::engine::{Message, Role};
use serde::{Deserialize, Serialize};

use self::real::RealCountries;
use super::invent::Inventor;
use super::objects::{Look, Paint, Shape};
use super::rng::Rng;
use super::scene::Scene;
use super::world::World;
use crate::error::Result;
use crate::learn::example::{Example, ExampleSource, Seen, SeenClasses, TRAITS, Turn};

/// How often each kind of example comes, relative to the others; 0 leaves a kind out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Pages of real and made-up countries as plain text.
    pub documents: f64,
    /// Random words, said again.
    pub repeat: f64,
    /// Lists of titles or hits, and one of them asked for.
    pub recall: f64,
    /// Everything in a scene with its box.
    pub descriptions: f64,
    /// `Locate:` one thing.
    pub grounding: f64,
    /// Several things to locate and to tell about one scene.
    pub survey: f64,
    /// Search-free questions in a few words, outside the dialect's templates.
    pub glances: f64,
    /// Search-free questions as the agent meets them.
    pub visual: f64,
    /// One turn that asks for the answer, with what a fixed search found or with nothing (the workflows `rag` and
    /// `direct`): without it a base model never saw the turn that these are measured by.
    pub answers: f64,
    /// Runs of the agent with their pictures.
    pub trajectories: f64,
    /// The same without pictures: cheap, for learning to copy.
    pub text_trajectories: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            documents: 0.05,
            repeat: 0.03,
            recall: 0.07,
            descriptions: 0.05,
            grounding: 0.05,
            survey: 0.2,
            glances: 0.05,
            visual: 0.15,
            answers: 0.05,
            trajectories: 0.18,
            text_trajectories: 0.12,
        }
    }
}

/// What the mixture is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureConfig {
    /// Seed of everything drawn.
    pub seed: u64,
    /// How often each kind comes.
    pub weights: Weights,
    /// Share of pages and runs about made-up countries.
    pub invented: f64,
    /// How often a run reads no page, one, two or three after the flag is known.
    pub hops: [f64; 4],
    /// Loss weight of what users and tools say; the model's own turns have 1.
    pub user_weight: f32,
    /// Sides of a scene in pixels as the model sees it, for its boxes.
    pub view_side: u32,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            weights: Weights::default(),
            invented: 0.7,
            hops: [0.1, 0.45, 0.27, 0.18],
            user_weight: 0.3,
            view_side: 224,
        }
    }
}

/// Classes of [`Seen`] beside the background.
const FLAG: u16 = 1;
const OBJECT: u16 = 2;

/// The stream of examples.
pub struct Mixture {
    world: Arc<World>,
    real: RealCountries,
    inventor: Inventor,
    dialect: Box<dyn Dialect>,
    config: MixtureConfig,
}

impl Mixture {
    /// A stream over a world in a dialect.
    #[must_use]
    pub fn new(world: Arc<World>, dialect: Box<dyn Dialect>, config: MixtureConfig) -> Self {
        let real = RealCountries::new(&world);
        let inventor = real.inventor();
        Self { world, real, inventor, dialect, config }
    }

    fn draw(&self, kind: usize, rng: &mut Rng) -> Example {
        match kind {
            0 => self.document(rng),
            1 => self.repeat(rng),
            2 => self.recall(rng),
            3 => self.description(rng),
            4 => self.grounding(rng),
            5 => self.survey(rng),
            6 => self.glance(rng),
            7 => self.visual(rng),
            8 => self.answer(rng),
            9 => self.trajectory(rng),
            _ => self.text_trajectory(rng),
        }
    }

    /// A conversation with the loss weights of this mixture.
    fn conversation(&self, kind: &'static str, messages: Vec<Message>, seen: Vec<Seen>) -> Example {
        let weight = |message: &Message| match message.role {
            Role::Assistant => 1.0,
            Role::System | Role::User => self.config.user_weight,
        };
        let turns =
            messages.into_iter().map(|message| Turn::Message { weight: weight(&message), message }).collect();
        Example { kind, turns, seen }
    }
}

impl ExampleSource for Mixture {
    fn example(&self, index: u64) -> Result<Example> {
        let mut rng = Rng::of(self.config.seed, "mixture", index);
        let w = &self.config.weights;
        let kind = rng.weighted(&[
            w.documents,
            w.repeat,
            w.recall,
            w.descriptions,
            w.grounding,
            w.survey,
            w.glances,
            w.visual,
            w.answers,
            w.trajectories,
            w.text_trajectories,
        ]);
        Ok(self.draw(kind, &mut rng))
    }

    fn seen_classes(&self) -> SeenClasses {
        SeenClasses { classes: usize::from(OBJECT) + 1, traits: [Paint::ALL.len(), Shape::ALL.len()] }
    }
}

/// What is where in a scene, for the dense teacher.
fn seen(scene: &Scene) -> Vec<Seen> {
    let side = super::scene::SCENE_SIDE as f32;
    let part = |class: u16, traits, b: &super::bounds::Bounds| Seen {
        class,
        traits,
        bounds: [b.left, b.top, b.right, b.bottom].map(|edge| edge as f32 / side),
    };
    let traits = |look: Look| [Some(look.paint as u16), Some(look.shape as u16)];
    let flags = scene.flags.iter().map(|flag| part(FLAG, [None; TRAITS], &flag.bounds));
    let objects = scene.objects.iter().map(|object| part(OBJECT, traits(object.look), &object.bounds));
    flags.chain(objects).collect()
}
