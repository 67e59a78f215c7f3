//! What every run of a test needs.
//!
//! - `doubles`: a scripted model, scripted searches and a host that keeps events in memory.
//! - `invariants`: what holds for every run.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy excuses test functions, but not their helpers"
)]

mod doubles;
mod invariants;

use std::sync::Arc;
use std::time::Duration;

use loupe_agent::host::{Query, QueryPicture};
use loupe_agent::{Agent, AgentConfig, RunEnd};
use loupe_shared::ids::ImageId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{Event, Hit, ImageRole, Workflow};
use tokio_util::sync::CancellationToken;

pub(crate) use doubles::{Memory, Says, Script, Table, words};
use invariants::check_invariants;

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
        adapter: None,
        lang: None,
        constrain: false,
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
