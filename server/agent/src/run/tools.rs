//! Searches, by words and by picture: each a `tool.call` and then a `tool.result` or a `tool.failed`.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use loupe_search::{Found, ImageQuery, ImageRef, SearchError, TextQuery};
use loupe_shared::ids::CallId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{
    CropBy, CropUsed, Event, Hit, Tool, ToolCall, ToolFailed, ToolResult, ToolTarget,
};
use tokio::time::timeout;

use super::ground::with_margin;
use super::{Halt, Run};
use crate::conversation::focus;
use crate::dialect::{ImageTarget, Search};
use crate::information::{image_hits, plain, text_hits};
use crate::ledger::{HITS, admitted};
use crate::meter::milliseconds;

/// Longest query that is sent to a provider, in characters.
const QUERY_CHARS: usize = 400;
const NOT_FOUND: &str = "The part was not found, so the whole picture was searched.";

/// What came of a search.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was answered, perhaps with nothing.
    Found {
        /// Best first.
        hits: Vec<Hit>,
        /// What the model reads of it.
        information: String,
    },
    /// It failed; a sentence for the model, without the provider's own words.
    Failed(String),
}

/// A call that waits for its answer.
struct Call {
    id: CallId,
    tool: Tool,
    provider: String,
    /// A remark for the model above the hits.
    remark: Option<&'static str>,
}

impl Run<'_> {
    /// Does a search that the model asked for; returns the next user turn.
    pub(super) async fn search(&mut self, search: &Search) -> Result<String, Halt> {
        let outcome = match search {
            Search::Image(target) => self.image_search(target).await?,
            Search::Text(query) => self.text_search(query).await?,
        };
        let (question, dialect) = (&self.query.question, self.dialect());
        let information = match outcome {
            Outcome::Found { information, .. } => information,
            Outcome::Failed(problem) => return Ok(dialect.after_failure(question, &problem)),
        };
        self.ledger.note(search);
        let next = match search {
            Search::Image(_) => dialect.after_image_search(question, &information),
            Search::Text(_) => dialect.after_text_search(question, &information),
        };
        self.latest = information;
        Ok(next)
    }

    /// Searches by words.
    pub(super) async fn text_search(&mut self, query: &str) -> Result<Outcome, Halt> {
        let text: String = query.chars().take(QUERY_CHARS).collect();
        let search = Arc::clone(&self.agent.text);
        let id = self.begin(Tool::TextSearch, ToolTarget::Query(text.clone())).await?;
        let call = Call { id, tool: Tool::TextSearch, provider: search.name().to_owned(), remark: None };
        let query = TextQuery { text, limit: HITS, lang: self.query.lang.clone() };
        self.finish(call, search.search(&query)).await
    }

    /// Searches by picture. The caller has made sure that there is one.
    pub(super) async fn image_search(&mut self, target: &ImageTarget) -> Result<Outcome, Halt> {
        let search = Arc::clone(&self.agent.image);
        let id = self.begin(Tool::ImageSearch, self.protocol_target(target)).await?;
        let mut call = Call { id, tool: Tool::ImageSearch, provider: search.name().to_owned(), remark: None };
        let part = match target {
            ImageTarget::Whole => None,
            ImageTarget::Region(region) => Some(with_margin(*region)),
            ImageTarget::Expression(words) => {
                let found = self.locate(words).await?.map(with_margin);
                call.remark = found.is_none().then_some(NOT_FOUND);
                found
            }
        };
        let fallback = call.remark.is_some();
        let Some(pixels) = self.searched_picture(&call.id, part, fallback).await? else {
            return Ok(Outcome::Failed("The question has no picture".to_owned()));
        };
        let query = ImageQuery { image: ImageRef::Pixels(pixels), limit: HITS };
        self.finish(call, search.search(&query)).await
    }

    fn protocol_target(&self, target: &ImageTarget) -> ToolTarget {
        match target {
            ImageTarget::Expression(words) => ToolTarget::Expression(words.clone()),
            ImageTarget::Region(region) => ToolTarget::Region(with_margin(*region)),
            ImageTarget::Whole => {
                let framed = focus(&self.query).and_then(|picture| picture.region);
                ToolTarget::Region(framed.unwrap_or(Region::WHOLE))
            }
        }
    }

    /// Gets the picture to search and says which it is: a crop of the first picture, else what the user framed (unless
    /// a part outside of it was meant), else the first picture.
    async fn searched_picture(
        &mut self,
        call_id: &CallId,
        part: Option<Region>,
        fallback: bool,
    ) -> Result<Option<Arc<Rgb8>>, Halt> {
        let Some(first) = self.query.pictures.first() else {
            return Ok(None);
        };
        let (image_id, by, region, pixels) = if let Some(region) = part.filter(|region| !region.is_whole()) {
            let crop = tokio::select! {
                () = self.cancel.cancelled() => return Err(Halt::Cancelled),
                crop = self.host.crop(call_id, region, &first.pixels) => crop?,
            };
            (crop.image_id, crop.by, Some(region), crop.pixels)
        } else if let Some(framed) = focus(&self.query).filter(|_| part.is_none() && !fallback) {
            (framed.image_id.clone(), CropBy::Browser, framed.region, Arc::clone(&framed.pixels))
        } else {
            (first.image_id.clone(), CropBy::Server, None, Arc::clone(&first.pixels))
        };
        self.emit(Event::CropUsed(CropUsed { call_id: call_id.clone(), image_id, by, region })).await?;
        Ok(Some(pixels))
    }

    async fn begin(&mut self, tool: Tool, target: ToolTarget) -> Result<CallId, Halt> {
        let call_id = CallId::nth(self.spent.add_tool_call(tool == Tool::ImageSearch));
        self.emit(Event::ToolCall(ToolCall { call_id: call_id.clone(), tool, target })).await?;
        Ok(call_id)
    }

    async fn finish(
        &mut self,
        call: Call,
        search: impl Future<Output = Result<Found, SearchError>>,
    ) -> Result<Outcome, Halt> {
        let began = Instant::now();
        let limit = self.spent.search_time();
        let answer = tokio::select! {
            () = self.cancel.cancelled() => return Err(Halt::Cancelled),
            answer = timeout(limit, search) => answer,
        };
        self.meter.add_search();
        match answer {
            Ok(Ok(found)) => self.found(call, found, began).await,
            Ok(Err(error)) => self.failed(call, error.code(), error.to_string()).await,
            Err(_elapsed) => {
                let message = format!("{} gave no answer within {} s", call.provider, limit.as_secs());
                self.failed(call, "search_timeout", message).await
            }
        }
    }

    async fn found(&mut self, call: Call, found: Found, began: Instant) -> Result<Outcome, Halt> {
        let hits = admitted(found.hits);
        let by_picture = call.tool == Tool::ImageSearch;
        let lines = if by_picture { image_hits(&hits) } else { text_hits(&hits) };
        let information = match call.remark {
            Some(remark) => format!("{remark}\n{lines}"),
            None => lines,
        };
        self.ledger.add(&call.id, by_picture, &hits);
        let result = ToolResult {
            call_id: call.id,
            hits: hits.clone(),
            summary: information.clone(),
            took_ms: milliseconds(began.elapsed()),
            cached: found.cached,
            provider: call.provider,
        };
        self.emit(Event::ToolResult(result)).await?;
        Ok(Outcome::Found { hits, information })
    }

    async fn failed(&mut self, call: Call, code: &str, message: String) -> Result<Outcome, Halt> {
        tracing::info!(code, "a search failed: {message}");
        let kind = if call.tool == Tool::ImageSearch { "image" } else { "text" };
        let failed = ToolFailed { call_id: call.id, code: code.to_owned(), message };
        self.emit(Event::ToolFailed(failed)).await?;
        Ok(Outcome::Failed(format!("The {kind} search failed ({})", plain(code))))
    }
}
