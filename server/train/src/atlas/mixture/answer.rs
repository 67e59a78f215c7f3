//! The one turn of the workflows that do not let the model search: `rag` looks up before it asks, `direct` does not.

use std::sync::Arc;

use loupe_agent::information::{image_hits, text_hits};
use loupe_shared::pixels::Rgb8;

use super::Mixture;
use super::trajectory::Story;
use crate::atlas::episode::{Episode, known_at_end};
use crate::atlas::rng::Rng;
use crate::atlas::split::Split;
use crate::learn::example::Example;

/// How often the picture alone answers, and how often pages that nobody needs were found all the same.
const VISUAL: f64 = 0.45;
const NEEDLESS: f64 = 0.6;

impl Mixture {
    /// A question that is to be answered at once.
    pub(super) fn answer(&self, rng: &mut Rng) -> Example {
        if rng.chance(VISUAL) { self.answer_by_sight(rng) } else { self.answer_by_reading(rng) }
    }

    fn answer_by_sight(&self, rng: &mut Rng) -> Example {
        let scene = self.scene(rng);
        let found = if rng.chance(NEEDLESS) { self.found(&self.story(1, rng), rng) } else { String::new() };
        let ask = |question: &str, pictures: &[Arc<Rgb8>]| {
            Episode::ask_for_answer(self.dialect.as_ref(), self.context(false), question, &found, pictures)
        };
        self.by_sight("answer", &scene, ask, rng)
    }

    /// One look-up at most: a fixed search reads no page that another one leads to.
    fn answer_by_reading(&self, rng: &mut Rng) -> Example {
        let (setting, story) = (self.setting(rng), self.story(rng.below(2), rng));
        let question = story.chain.question(&setting.phrase, Split::Train, rng);
        let found = self.found(&story, rng);
        let (dialect, context) = (self.dialect.as_ref(), self.context(setting.framed));
        let mut episode = Episode::ask_for_answer(dialect, context, &question, &found, &setting.pictures);
        episode.answer(&known_at_end(&story.chain), &story.chain.gold().answer);
        self.conversation("answer", episode.into_messages(), setting.seen)
    }

    /// What the fixed searches of `rag` find: by the picture, then by words.
    fn found(&self, story: &Story<'_>, rng: &mut Rng) -> String {
        let seen = image_hits(&self.image_hits(story, rng));
        let Some(lookup) = story.chain.lookups.first() else { return seen };
        format!("{seen}\n{}", text_hits(&self.text_hits(story, lookup, rng)))
    }
}
