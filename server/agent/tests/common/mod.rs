//! A scripted model, scripted searches and a host that keeps events in memory.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy excuses test functions, but not their helpers"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError, Query, QueryPicture};
use loupe_agent::{Agent, AgentConfig, RunEnd};
use loupe_mllm::engine::{
    Completion, Decoder, EngineError, Finish, GenerateRequest, Message, ModelInfo, Part,
};
use loupe_search::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
use loupe_shared::ids::{CallId, ImageId};
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{CropBy, Event, Hit, ImageRole, Workflow};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

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
            finish,
            prompt_tokens: 100,
            reused_tokens: 50,
            first_token: Duration::from_millis(5),
            decoding: Duration::from_millis(100),
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

pub(crate) fn image_id(digit: char) -> ImageId {
    ImageId::parse(&digit.to_string().repeat(64)).unwrap()
}

pub(crate) fn blank(width: u32, height: u32) -> Arc<Rgb8> {
    Arc::new(Rgb8::new(width, height, vec![0; (width * height * 3) as usize]).unwrap())
}

pub(crate) fn hit(rank: u32, title: &str, snippet: &str) -> Hit {
    let url = format!("/pages/{}", title.to_lowercase().replace(' ', "-"));
    Hit { rank, title: title.to_owned(), url, snippet: snippet.to_owned(), thumb: None }
}

pub(crate) fn text(text: &str) -> Says {
    Says::Text(text.to_owned())
}

/// A question about one picture of 448 x 448.
pub(crate) fn query(question: &str) -> Query {
    let whole = QueryPicture {
        image_id: image_id('a'),
        role: ImageRole::Whole,
        region: None,
        pixels: blank(448, 448),
    };
    Query {
        question: question.to_owned(),
        pictures: vec![whole],
        earlier: Vec::new(),
        workflow: Workflow::Agent,
        lang: None,
    }
}

/// The same question with the upper left quarter framed.
pub(crate) fn framed(question: &str) -> Query {
    let mut query = query(question);
    query.pictures.push(QueryPicture {
        image_id: image_id('b'),
        role: ImageRole::Focus,
        region: Some(Region::new(0.0, 0.0, 0.5, 0.5).unwrap()),
        pixels: blank(200, 100),
    });
    query
}

/// A run that is over.
pub(crate) struct Ran {
    pub(crate) end: RunEnd,
    pub(crate) events: Vec<Event>,
    pub(crate) model: Arc<Script>,
    pub(crate) text: Arc<Table>,
}

impl Ran {
    pub(crate) fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.events.iter().map(Event::kind).collect();
        kinds.dedup();
        kinds
    }

    pub(crate) fn error_code(&self) -> &str {
        match &self.end {
            RunEnd::Failed(error) => &error.code,
            other => panic!("expected an error, got {other:?}"),
        }
    }

    pub(crate) fn answer(&self) -> &str {
        match &self.end {
            RunEnd::Done(done) => &done.answer,
            other => panic!("expected an answer, got {other:?}"),
        }
    }
}

/// Everything a run needs; `Setting::run` runs it and checks what holds for every run.
pub(crate) struct Setting {
    pub(crate) dialect: &'static str,
    pub(crate) turns: Vec<Says>,
    pub(crate) image: Table,
    pub(crate) text: Table,
    pub(crate) config: AgentConfig,
    pub(crate) host: Memory,
    pub(crate) cancel: CancellationToken,
}

impl Setting {
    pub(crate) fn new(turns: Vec<Says>) -> Self {
        Self {
            dialect: "deepmm",
            turns,
            image: Table::default(),
            text: Table::default(),
            config: AgentConfig::default(),
            host: Memory::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// The world of the happy paths: Norway's flag, found as the whole, the framed part and a crop; Oslo's page.
    pub(crate) fn norway(turns: Vec<Says>) -> Self {
        let flags =
            || Ok(vec![hit(1, "Flag of Norway", "The flag."), hit(2, "Flag of Iceland", "The flag.")]);
        let pages = vec![
            hit(1, "Norway", "Norway is a country with long fjords."),
            hit(2, "Capital of Norway", "Oslo is the capital of Norway."),
        ];
        let mut setting = Self::new(turns);
        setting.image =
            Table::default().with("448x448", flags()).with("200x100", flags()).with("130x130", flags());
        setting.text = Table::default().with("capital of Norway", Ok(pages));
        setting
    }

    pub(crate) async fn run(self, query: Query) -> Ran {
        let model = Script::new(self.dialect, self.turns);
        let text = Arc::new(self.text);
        let agent = Agent::new(model.clone(), text.clone(), Arc::new(self.image), self.config).unwrap();
        let host = Arc::new(self.host);
        let carried = host.clone();
        // Spawned, because servers do, and only a future that is `Send` can be.
        let running = tokio::spawn(async move { agent.run(query, carried.as_ref(), self.cancel).await });
        let end =
            tokio::time::timeout(Duration::from_secs(20), running).await.expect("the run ends").unwrap();
        let events = host.events.lock().unwrap().clone();
        check_invariants(&events, &end);
        if matches!(end, RunEnd::Done(_)) {
            assert_eq!(model.left(), 0, "turns of the script that were not asked for");
        }
        Ran { end, events, model, text }
    }
}

/// What holds for every run, however it ends.
fn check_invariants(events: &[Event], end: &RunEnd) {
    let last: Vec<usize> = (0..events.len()).filter(|i| events[*i].is_last()).collect();
    assert_eq!(last, [events.len() - 1], "exactly one last event, at the end: {events:#?}");
    match (events.last().unwrap(), end) {
        (Event::Done(event), RunEnd::Done(done)) => assert_eq!(event, done),
        (Event::Error(event), RunEnd::Failed(error)) => assert_eq!(event, error),
        (Event::Cancelled(_), RunEnd::Cancelled) => {}
        (event, end) => panic!("{event:?} was told, {end:?} returned"),
    }
    let mut calls = 0;
    let mut open: Option<CallId> = None;
    let mut known: Vec<(CallId, u32)> = Vec::new();
    for event in events {
        match event {
            Event::ToolCall(call) => {
                calls += 1;
                assert_eq!(call.call_id, CallId::nth(calls));
                assert_eq!(open.replace(call.call_id.clone()), None, "a call is answered before the next");
            }
            Event::CropUsed(used) => assert_eq!(Some(&used.call_id), open.as_ref()),
            Event::ToolResult(result) => {
                assert_eq!(open.take().as_ref(), Some(&result.call_id));
                known.extend(result.hits.iter().map(|hit| (result.call_id.clone(), hit.rank)));
            }
            Event::ToolFailed(failed) => assert_eq!(open.take().as_ref(), Some(&failed.call_id)),
            Event::Citation(citation) => {
                assert!(known.contains(&(citation.hit.call_id.clone(), citation.hit.rank)), "{citation:?}");
            }
            _ => {}
        }
    }
    let RunEnd::Done(done) = end else { return };
    let told: Vec<_> =
        events.iter().filter_map(|e| if let Event::Citation(c) = e { Some(c) } else { None }).collect();
    assert_eq!(told, done.citations.iter().collect::<Vec<_>>());
    let written: String = events
        .iter()
        .filter_map(|e| if let Event::AnswerDelta(d) = e { Some(d.text.as_str()) } else { None })
        .collect();
    assert_eq!(written, done.answer, "the deltas are the answer");
    for citation in &done.citations {
        assert!(
            done.answer.get(citation.span[0] as usize..citation.span[1] as usize).is_some(),
            "{citation:?}"
        );
    }
}
