//! A scripted model, scripted searches and a host that keeps events in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError};
use loupe_mllm::engine::{
    Completion, Decoder, EngineError, Finish, GenerateRequest, Message, ModelInfo, Part,
};
use loupe_search::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
use loupe_shared::ids::CallId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{CropBy, Event, Hit};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::{blank, image_id};

/// What the scripted model does in a turn.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// Writes this, a few characters at a time.
    Text(String),
    /// Writes this, then nothing more until it is cancelled.
    Hangs(String),
    /// Fails because the conversation is too long.
    TooLong,
    /// Fails.
    Breaks,
}

/// A model that follows a script and keeps what it was asked.
pub(crate) struct Script {
    info: ModelInfo,
    turns: Mutex<VecDeque<Says>>,
    pub(crate) asked: Mutex<Vec<GenerateRequest>>,
}

impl Script {
    pub(crate) fn new(dialect: &str, turns: Vec<Says>) -> Arc<Self> {
        let info = ModelInfo {
            name: "script".to_owned(),
            dialect: dialect.to_owned(),
            about: String::new(),
            min_pixels: 56 * 56,
            max_pixels: 224 * 224,
            context: 4096,
            adapters: Vec::new(),
        };
        Arc::new(Self { info, turns: Mutex::new(turns.into()), asked: Mutex::default() })
    }

    /// The words of the last message of each request.
    pub(crate) fn prompts(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| words(request.messages.last().unwrap())).collect()
    }

    /// How many turns of the script were not asked for.
    pub(crate) fn left(&self) -> usize {
        self.turns.lock().unwrap().len()
    }
}

/// The words of a message, with `[WxH]` for each picture.
pub(crate) fn words(message: &Message) -> String {
    let parts = message.parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Image(picture) => format!("[{}x{}]", picture.width(), picture.height()),
    });
    parts.collect()
}

#[async_trait]
impl Decoder for Script {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let cancel = request.cancel.clone();
        self.asked.lock().unwrap().push(request);
        let says = self.turns.lock().unwrap().pop_front();
        let (text, finish) = match says.expect("the script has a turn for every request") {
            Says::TooLong => {
                return Err(EngineError::TooLong { tokens: 5000, context: 4096 });
            }
            Says::Breaks => return Err(EngineError::NotFinite),
            Says::Text(text) => (text, Finish::EndOfTurn),
            Says::Hangs(text) => (text, Finish::Cancelled),
        };
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(3) {
            let _closed = deltas.send(piece.iter().collect());
            tokio::task::yield_now().await;
        }
        if finish == Finish::Cancelled {
            cancel.cancelled().await;
        }
        Ok(Completion {
            generated_tokens: u32::try_from(chars.len().div_ceil(3)).unwrap(),
            text,
            reused_tokens: 50,
            first_token: Duration::from_millis(5),
            decoding: Duration::from_millis(100),
            ..Completion::nothing(finish, 100)
        })
    }
}

/// A search that answers each query by a table; queries outside it find nothing.
#[derive(Default)]
pub(crate) struct Table {
    answers: HashMap<String, Result<Vec<Hit>, SearchError>>,
    hangs: bool,
    pub(crate) queries: Mutex<Vec<String>>,
}

impl Table {
    pub(crate) fn with(mut self, query: &str, answer: Result<Vec<Hit>, SearchError>) -> Self {
        self.answers.insert(query.to_owned(), answer);
        self
    }

    pub(crate) fn hanging() -> Self {
        Self { hangs: true, ..Self::default() }
    }

    async fn answer(&self, query: String) -> Result<Found, SearchError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let hits = self.answers.get(&query).cloned().unwrap_or(Ok(Vec::new()))?;
        self.queries.lock().unwrap().push(query);
        Ok(Found { hits, cached: false })
    }
}

#[async_trait]
impl TextSearch for Table {
    fn name(&self) -> &str {
        "table"
    }

    async fn search(&self, query: &TextQuery) -> Result<Found, SearchError> {
        self.answer(query.text.clone()).await
    }

    async fn check(&self) -> Result<(), SearchError> {
        Ok(())
    }
}

#[async_trait]
impl ImageSearch for Table {
    fn name(&self) -> &str {
        "table"
    }

    /// Pictures are known by their size: `20x10`.
    async fn search(&self, query: &ImageQuery) -> Result<Found, SearchError> {
        let ImageRef::Pixels(picture) = &query.image else {
            return Err(SearchError::BadQuery("pixels are wanted".to_owned()));
        };
        self.answer(format!("{}x{}", picture.width(), picture.height())).await
    }

    async fn check(&self) -> Result<(), SearchError> {
        Ok(())
    }
}

/// A host that keeps events in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) events: Mutex<Vec<Event>>,
    /// The number of events after which nothing can be kept; none for no end.
    pub(crate) full_after: Option<usize>,
    /// Cancels the run when an event of this kind was kept.
    pub(crate) cancel_at: Option<(&'static str, CancellationToken)>,
}

#[async_trait]
impl Host for Memory {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        let mut events = self.events.lock().unwrap();
        if self.full_after.is_some_and(|most| events.len() == most) && !matches!(event, Event::Error(_)) {
            return Err(HostError("the disk is full".to_owned()));
        }
        if let Some((kind, cancel)) = &self.cancel_at
            && event.kind() == *kind
        {
            cancel.cancel();
        }
        events.push(event);
        Ok(())
    }

    async fn crop(&self, _call_id: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        let side = |fraction: f64, whole: u32| ((fraction * f64::from(whole)).round() as u32).max(1);
        let pixels = blank(side(region.w(), uploaded.width()), side(region.h(), uploaded.height()));
        Ok(Crop { image_id: image_id('c'), by: CropBy::Server, pixels })
    }
}
