//! A server in a temporary folder, and calls to it.

mod call;
mod model;
pub(crate) mod world;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use loupe_agent::{Agent, AgentConfig};
use loupe_app::data::DataFolder;
use loupe_app::http::state::Parts;
use loupe_app::http::{App, app};
use loupe_app::images::ImageFolder;
use loupe_app::runs::{Runs, RunsConfig, close_interrupted};
use loupe_app::search::{Search, samples, samples_dir};
use loupe_app::store::Store;
use loupe_mllm::engine::Decoder;
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_shared::protocol::Envelope;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) use call::{Answer, Events, envelope};
pub(crate) use model::ScriptedModel;
pub(crate) use world::{picture, png};

/// A server; its folder goes with it unless [`Server::restart`] takes it.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) model: Arc<ScriptedModel>,
    state: App,
    folder: tempfile::TempDir,
}

/// So that a second run has to wait.
fn one_at_a_time() -> RunsConfig {
    RunsConfig { slots: 1, constrain: Vec::new() }
}

impl Server {
    /// A server whose model answers at once.
    pub(crate) async fn start() -> Self {
        Self::open(tempfile::tempdir().unwrap(), ScriptedModel::free()).await
    }

    /// A server whose model waits before each turn for [`ScriptedModel::allow`].
    pub(crate) async fn start_held() -> Self {
        Self::open(tempfile::tempdir().unwrap(), ScriptedModel::held()).await
    }

    async fn open(folder: tempfile::TempDir, model: ScriptedModel) -> Self {
        let data = DataFolder::open(&folder.path().join("data")).unwrap();
        let store = Store::open(&data.database()).unwrap();
        close_interrupted(&store).await.unwrap();
        let index = Arc::new(Index::open(&world::write(folder.path())).unwrap());
        let search = Search {
            text: Arc::new(LocalText::new(index.clone())),
            image: Arc::new(LocalImage::new(index.clone())),
            pages: Some(index.clone()),
            pictures: index,
        };
        let model = Arc::new(model);
        let agent =
            Agent::new(model.clone(), search.text.clone(), search.image.clone(), AgentConfig::default())
                .unwrap();
        let images = ImageFolder::new(data.images());
        let state = App::new(Parts {
            runs: Runs::new(Arc::new(agent), store.clone(), images.clone(), one_at_a_time()),
            store,
            images,
            model: model.info().clone(),
            samples: samples(&samples_dir(&search)),
            samples_dir: samples_dir(&search),
            search,
            public_url: Some("https://loupe.example".to_owned()),
            embed_ancestors: "https://blog.example".to_owned(),
            stopping: CancellationToken::new(),
        });
        Self { router: app(state.clone()), model, state, folder }
    }

    /// Stops as a signal does, and starts again on the same folder with a model that answers at once.
    pub(crate) async fn restart(self) -> Self {
        self.state.stopping.cancel();
        self.state.runs.stop().await;
        let Self { folder, .. } = self;
        Self::open(folder, ScriptedModel::free()).await
    }

    /// The data folder.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Whether a picture's file is there.
    pub(crate) fn has_image(&self, id: &str) -> bool {
        Path::new(&self.data()).join("images").join(&id[..2]).join(id).exists()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call::send(&self.router, "GET", path, &[], Vec::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        call::send(&self.router, "DELETE", path, &[], Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        call::send(
            &self.router,
            "POST",
            path,
            &[("content-type", "application/json")],
            body.to_string().into(),
        )
        .await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        call::send(&self.router, method, path, headers, body).await
    }

    /// Uploads a picture; returns its identifier.
    pub(crate) async fn upload(&self, bytes: Vec<u8>) -> String {
        let answer = self.call("POST", "/api/v1/images", &[("content-type", "image/png")], bytes).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["image_id"].as_str().unwrap().to_owned()
    }

    /// Asks about the world's picture; returns the query's identifier.
    pub(crate) async fn ask(&self) -> String {
        let image = self.upload(picture()).await;
        let body = json!({
            "question": "What is the capital of the country whose flag is on the left?",
            "images": [{ "image_id": image, "role": "whole" }],
        });
        self.submit(&body).await
    }

    /// Creates a query; returns its identifier.
    pub(crate) async fn submit(&self, body: &Value) -> String {
        let answer = self.post("/api/v1/queries", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["query_id"].as_str().unwrap().to_owned()
    }

    /// Follows a run as a browser does.
    pub(crate) async fn follow(&self, id: &str, parameters: &str) -> Events {
        Events::open(&self.router, &format!("/api/v1/queries/{id}/events{parameters}"), &[]).await
    }

    /// A run's log, read to its end.
    pub(crate) async fn log(&self, id: &str) -> Vec<Envelope> {
        self.follow(id, "").await.rest().await
    }
}

/// The kinds of a log.
pub(crate) fn kinds(log: &[Envelope]) -> Vec<&str> {
    log.iter().map(|envelope| envelope.kind.as_str()).collect()
}

/// Numbers 1, 2, 3, … and exactly one last event, at the end.
pub(crate) fn assert_whole(log: &[Envelope]) {
    let numbers: Vec<u64> = log.iter().map(|envelope| envelope.seq).collect();
    assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>());
    let ends = log.iter().filter(|envelope| envelope.event().unwrap().is_last()).count();
    assert_eq!(ends, 1, "{:?}", kinds(log));
    assert!(log.last().unwrap().event().unwrap().is_last());
    assert!(log.windows(2).all(|pair| pair[0].at <= pair[1].at));
}
