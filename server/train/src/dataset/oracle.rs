//! Somebody who knows the way: runs the real tools along a question's chain and writes down the conversation, as long as
//! the tools bring what is needed.

use std::sync::Arc;

use loupe_agent::dialect::{Dialect, ImageTarget, QueryContext, ViewSize};
use loupe_agent::information::text_hits;
use loupe_mllm::engine::Message;
use loupe_search::{ImageQuery, ImageRef, ImageSearch, TextQuery, TextSearch};
use loupe_shared::pixels::{PixelLimits, Region, Rgb8, smart_resize};
use loupe_shared::protocol::Hit;

use super::DatasetError;
use crate::atlas::asked::{Asked, Need};
use crate::atlas::crop::{cut, loose_frame};
use crate::atlas::episode::{Episode, known_at_end};
use crate::atlas::mixture::real::RealCountries;
use crate::atlas::pages::flag_title;
use crate::atlas::questions::Chain;
use crate::atlas::rng::Rng;
use crate::atlas::split::Split;

/// Hits asked for, as the agent asks.
const HITS: usize = 5;

/// The tools that the oracle runs, and the dialect that it writes.
pub struct Oracle<'a> {
    /// Search by words.
    pub text: &'a dyn TextSearch,
    /// Search by picture.
    pub image: &'a dyn ImageSearch,
    /// What turns are written in.
    pub dialect: &'a dyn Dialect,
    /// What the model sees of a picture.
    pub limits: PixelLimits,
    /// In training data, hits on pages that name a held-out country are left out.
    pub hide: Option<&'a RealCountries>,
}

/// What came of a question.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The conversation that answers it.
    Answered(Vec<Message>),
    /// The tools did not bring what is needed.
    Dropped(DropReason),
}

/// Why a row is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The search by picture found another flag first.
    OtherFlag,
    /// The page with the fact was not among the hits that the model reads, or its answer was cut off.
    PageNotFound,
}

impl DropReason {
    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherFlag => "other_flag_first",
            Self::PageNotFound => "page_not_found",
        }
    }
}

impl Oracle<'_> {
    /// Answers a question.
    ///
    /// # Errors
    /// [`DatasetError`] when a tool fails; that it finds the wrong thing is an outcome.
    pub async fn answer(&self, asked: &Asked, rng: &mut Rng) -> Result<Outcome, DatasetError> {
        let picture = Arc::new(asked.scene.picture.clone());
        match &asked.need {
            Need::Picture => {
                let mut episode = self.ask(asked, &[picture], false)?;
                episode.answer("I can see it.", &asked.gold.answer);
                Ok(Outcome::Answered(episode.into_messages()))
            }
            Need::Search { chain, flag, expression, framed } => {
                let region = framed.unwrap_or_else(|| loose_frame(&asked.scene.flags[*flag].bounds, rng));
                let target = match framed {
                    Some(_) => ImageTarget::Whole,
                    None => ImageTarget::Expression(expression.clone()),
                };
                self.search(asked, chain, &picture, (region, target)).await
            }
        }
    }

    fn ask(&self, asked: &Asked, pictures: &[Arc<Rgb8>], framed: bool) -> Result<Episode<'_>, DatasetError> {
        let scene = &asked.scene.picture;
        let (height, width) = smart_resize(scene.height(), scene.width(), self.limits)?;
        let context = QueryContext { view: Some(ViewSize { width, height }), framed, lang: None };
        Ok(Episode::ask(self.dialect, context, &asked.question, pictures))
    }

    async fn search(
        &self,
        asked: &Asked,
        chain: &Chain,
        picture: &Arc<Rgb8>,
        (region, target): (Region, ImageTarget),
    ) -> Result<Outcome, DatasetError> {
        let searched = Arc::new(cut(picture, &region)?);
        let framed = target == ImageTarget::Whole;
        let mut shown = vec![picture.clone()];
        if framed {
            shown.push(searched.clone());
        }
        let mut episode = self.ask(asked, &shown, framed)?;
        let query = ImageQuery { image: ImageRef::Pixels(searched), limit: HITS };
        let hits = self.shown(self.image.search(&query).await?.hits);
        if hits.first().is_none_or(|hit| hit.title != flag_title(&chain.country)) {
            return Ok(Outcome::Dropped(DropReason::OtherFlag));
        }
        episode.search_image(target, chain, &hits);
        for (step, lookup) in chain.lookups.iter().enumerate() {
            let query = TextQuery { text: lookup.query(), limit: HITS, lang: None };
            let hits = self.shown(self.text.search(&query).await?.hits);
            if !says(&hits, &lookup.fact.title(&lookup.country), &lookup.gold.answer) {
                return Ok(Outcome::Dropped(DropReason::PageNotFound));
            }
            episode.search_text(chain, step, &hits);
        }
        episode.answer(&known_at_end(chain), &asked.gold.answer);
        Ok(Outcome::Answered(episode.into_messages()))
    }

    /// The hits that the model reads.
    fn shown(&self, hits: Vec<Hit>) -> Vec<Hit> {
        let Some(real) = self.hide else { return hits };
        hits.into_iter()
            .filter(|hit| !real.names_held_out(&format!("{} {}", hit.title, hit.snippet)))
            .collect()
    }
}

/// Whether what the model reads of `hits` has the page of that title with the answer on it.
fn says(hits: &[Hit], title: &str, answer: &str) -> bool {
    text_hits(hits).lines().any(|line| line.contains(&format!("{title}: ")) && line.contains(answer))
}

/// Training data hides held-out countries; other splits hide nothing.
#[must_use]
pub fn hidden(split: Split, real: &RealCountries) -> Option<&RealCountries> {
    (split == Split::Train).then_some(real)
}
