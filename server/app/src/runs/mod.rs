//! Runs: each belongs to the server, not to a connection.
//!
//! - [`line`]: whose turn it is.
//! - [`live`]: a run that waits or works.
//! - [`log`]: its events: kept first, then told.
//! - [`crops`]: asking the browser for a crop of its original.
//! - [`host`]: what the agent needs of the server.
//! - [`brief`]: what the agent is told of a query.
//! - [`follow`]: reading a log as it grows.

pub mod brief;
pub mod crops;
pub mod follow;
pub mod host;
pub mod line;
pub mod live;
pub mod log;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use loupe_agent::{Agent, RunEnd};
use loupe_shared::ids::QueryId;
use loupe_shared::protocol::{Cancelled, Envelope, Event, QueryRequest, RunError, Usage, Workflow};
use tokio_util::task::TaskTracker;

use crate::images::ImageFolder;
use crate::metrics::WAITED;
use crate::moment::now_ms;
use crate::random;
use crate::store::{Store, StoreError};
use brief::BriefError;
use host::RunHost;
use line::Line;
use live::LiveRun;
use log::LogError;

/// How runs are carried.
#[derive(Debug, Clone)]
pub struct RunsConfig {
    /// Runs that are answered at the same time; the engine decodes them together.
    pub slots: usize,
    /// Workflows whose turns are held to the dialect's grammar, where a query does not say otherwise.
    pub constrain: Vec<Workflow>,
}

/// Why a query is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait already.
    #[error("{0} questions are waiting already")]
    Busy(usize),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its log could not be begun.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It could not be named.
    #[error("the query could not be named: {0}")]
    Name(String),
}

/// All runs of this server.
pub struct Runs {
    agent: Arc<Agent>,
    store: Store,
    images: ImageFolder,
    constrain: Vec<Workflow>,
    line: Line,
    live: Mutex<HashMap<QueryId, Arc<LiveRun>>>,
    tasks: TaskTracker,
}

impl Runs {
    /// No runs yet.
    #[must_use]
    pub fn new(agent: Arc<Agent>, store: Store, images: ImageFolder, config: RunsConfig) -> Arc<Self> {
        let RunsConfig { slots, constrain } = config;
        let (line, live, tasks) = (Line::new(slots), Mutex::default(), TaskTracker::new());
        Arc::new(Self { agent, store, images, constrain, line, live, tasks })
    }

    /// Keeps a checked query and puts its run in line, all of it even where the caller goes away meanwhile: half of it
    /// would be a query that nobody answers.
    ///
    /// # Errors
    /// [`SubmitError`]; the query is then not answered.
    pub async fn submit(self: &Arc<Self>, request: QueryRequest) -> Result<QueryId, SubmitError> {
        match tokio::spawn(self.clone().begin(request)).await {
            Ok(begun) => begun,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Nothing else ends the task but the end of the program.
            Err(_stopped) => Err(LogError::Frozen.into()),
        }
    }

    async fn begin(self: Arc<Self>, request: QueryRequest) -> Result<QueryId, SubmitError> {
        self.line.check_room().await.map_err(SubmitError::Busy)?;
        let name = random::id().map_err(|error| SubmitError::Name(error.to_string()))?;
        let id = QueryId::parse(&name).map_err(|error| SubmitError::Name(error.to_string()))?;
        self.store.add_query(&id, &request, now_ms()).await?;
        let run = Arc::new(LiveRun::new(id.clone(), self.store.clone()));
        self.map().insert(id.clone(), run.clone());
        if let Err(error) = self.line.join(&run).await {
            self.map().remove(&id);
            return Err(error.into());
        }
        self.tasks.spawn(self.clone().carry(run, request));
        Ok(id)
    }

    /// A run that waits or works.
    #[must_use]
    pub fn live(&self, id: &QueryId) -> Option<Arc<LiveRun>> {
        self.map().get(id).cloned()
    }

    /// Ends all runs without a last event, so that the next start says that a restart interrupted them. Returns when
    /// none works any more.
    pub async fn stop(&self) {
        let runs: Vec<_> = self.map().values().cloned().collect();
        for run in runs {
            run.log.freeze().await;
            run.cancel.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits for the run's turn, answers it, and makes sure of its last event.
    async fn carry(self: Arc<Self>, run: Arc<LiveRun>, request: QueryRequest) {
        let came = std::time::Instant::now();
        let has_turn = run.wait_for_turn().await;
        metrics::histogram!(WAITED).record(came.elapsed().as_secs_f64());
        let otherwise = if has_turn {
            AssertUnwindSafe(self.answer(&run, &request)).catch_unwind().await.unwrap_or_else(|_panic| {
                tracing::error!(query = %run.id, "the run panicked");
                failed(
                    "run_failed",
                    "Something inside failed while answering. Ask again; the log has the cause.",
                )
            })
        } else {
            Event::Cancelled(Cancelled {})
        };
        match run.log.append(&otherwise).await {
            Ok(()) | Err(LogError::Over | LogError::Frozen) => {}
            Err(error) => tracing::error!(query = %run.id, %error, "the run's end could not be kept"),
        }
        self.map().remove(&run.id);
        self.line.leave(&run, has_turn).await;
    }

    /// Lets the agent answer. Returns the event that ends the run, should the agent not have ended it itself.
    async fn answer(&self, run: &Arc<LiveRun>, request: &QueryRequest) -> Event {
        let constrain = request.constrain.unwrap_or_else(|| self.constrain.contains(&request.workflow));
        let query = match brief::brief(&self.store, &self.images, request, constrain).await {
            Ok(query) => query,
            Err(error) => return unreadable(run, &error),
        };
        let host = RunHost::new(run.clone(), self.store.clone(), self.images.clone());
        // What is asked and answered is nobody's business but the asker's: the log says only how it went.
        match self.agent.run(query, &host, run.cancel.clone()).await {
            RunEnd::Done(done) => {
                let Usage { generated_tokens, searches, .. } = done.usage;
                tracing::info!(query = %run.id, generated_tokens, searches, "answered");
            }
            RunEnd::Failed(error) => tracing::info!(query = %run.id, code = error.code, "failed"),
            RunEnd::Cancelled => tracing::info!(query = %run.id, "cancelled"),
        }
        failed("run_failed", "The run ended without an answer. Ask again.")
    }

    fn map(&self) -> MutexGuard<'_, HashMap<QueryId, Arc<LiveRun>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the runs that the last stop of the server interrupted. Called once at the start, before any run begins.
///
/// # Errors
/// [`StoreError`].
pub async fn close_interrupted(store: &Store) -> Result<usize, StoreError> {
    let open = store.open_runs().await?;
    let event = failed("server_restarted", "The server was restarted while it worked on this. Ask again.");
    for run in &open {
        store.append_event(&run.id, &Envelope::new(run.seq + 1, now_ms(), &event), true).await?;
    }
    Ok(open.len())
}

fn unreadable(run: &LiveRun, error: &BriefError) -> Event {
    tracing::warn!(query = %run.id, %error, "the query cannot be read");
    failed(error.code(), &error.to_string())
}

fn failed(code: &str, message: &str) -> Event {
    Event::Error(RunError { code: code.to_owned(), message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use async_trait::async_trait;
    use loupe_agent::AgentConfig;
    use loupe_mllm::engine::{Completion, Decoder, EngineError, GenerateRequest, ModelInfo};
    use loupe_search::local::{Index, LocalImage, LocalText};
    use tokio::sync::Notify;
    use tokio::sync::mpsc::UnboundedSender;

    use super::*;

    /// A model that can answer nothing, and tells that it was asked.
    struct Broken {
        info: ModelInfo,
        asked: Arc<Notify>,
    }

    #[async_trait]
    impl Decoder for Broken {
        fn info(&self) -> &ModelInfo {
            &self.info
        }

        async fn generate(
            &self,
            _request: GenerateRequest,
            _deltas: UnboundedSender<String>,
        ) -> Result<Completion, EngineError> {
            self.asked.notify_one();
            Err(EngineError::NotFinite)
        }
    }

    fn agent(pages: &Path, asked: Arc<Notify>) -> Agent {
        let info = ModelInfo {
            name: "broken".into(),
            dialect: "deepmm".into(),
            about: String::new(),
            min_pixels: 28 * 28 * 4,
            max_pixels: 28 * 28 * 64,
            context: 4_096,
            adapters: Vec::new(),
        };
        let index = Arc::new(Index::open(pages).unwrap());
        let (text, image) = (LocalText::new(index.clone()), LocalImage::new(index));
        let model = Arc::new(Broken { info, asked });
        Agent::new(model, Arc::new(text), Arc::new(image), AgentConfig::default()).unwrap()
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_no_query_without_a_run() {
        let (data, pages) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let asked = Arc::new(Notify::new());
        let store = Store::open(&data.path().join("loupe.sqlite3")).unwrap();
        let images = ImageFolder::new(data.path().join("images"));
        let config = RunsConfig { slots: 1, constrain: Vec::new() };
        let runs = Runs::new(agent(pages.path(), asked.clone()).into(), store.clone(), images, config);
        let request: QueryRequest = serde_json::from_str(r#"{ "question": "Which flag?" }"#).unwrap();
        let mut submitting = Box::pin(runs.submit(request));
        assert!(futures::poll!(&mut submitting).is_pending());
        drop(submitting);
        let ran = tokio::time::timeout(Duration::from_secs(20), asked.notified()).await;
        ran.expect("the query is answered all the same");
        runs.tasks.close();
        runs.tasks.wait().await;
        assert!(runs.map().is_empty());
        assert_eq!(store.open_runs().await.unwrap().len(), 0);
    }
}
