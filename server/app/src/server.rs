//! The server from start to stop.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use loupe_agent::{Agent, AgentConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::data::{DataFolder, DataLock};
use crate::http::state::Parts;
use crate::http::{App, app};
use crate::images::ImageFolder;
use crate::runs::{Runs, RunsConfig, close_interrupted};
use crate::search::{self, Search};
use crate::settings::Settings;
use crate::store::Store;

/// How long open connections have to end after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: App,
    _lock: DataLock,
}

impl Server {
    /// Takes the port and the data folder, then opens index and model, so that the quick errors come first.
    ///
    /// # Errors
    /// With what happened and what to do, when any of them cannot be had.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let listener = listen(settings.listen).await?;
        let address = listener.local_addr().context("the address that is listened on is not known")?;
        let data = DataFolder::open(&settings.data)?;
        let lock = data.lock()?;
        let store = Store::open(&data.database())?;
        let interrupted = close_interrupted(&store).await?;
        if interrupted > 0 {
            tracing::warn!(runs = interrupted, "ended runs that the last stop interrupted");
        }
        let (settings, search) = tokio::task::spawn_blocking(move || {
            let search = search::open(&settings)?;
            anyhow::Ok((settings, search))
        })
        .await
        .context("opening the index broke off")??;
        let decoder = settings.open_model().await?;
        let model = decoder.info().clone();
        let agent = Agent::new(decoder, search.text.clone(), search.image.clone(), AgentConfig::default())?;
        let images = ImageFolder::new(data.images());
        let config = RunsConfig { slots: settings.runs, constrain: settings.constrain.clone() };
        let runs = Runs::new(agent.into(), store.clone(), images.clone(), config);
        let state = App::new(parts(settings, store, images, runs, model, search));
        Ok(Self { listener, address, state, _lock: lock })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then ends streams and runs and lets the other calls finish.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (stopping, runs) = (self.state.stopping.clone(), self.state.runs.clone());
        let stopped = stopping.clone().cancelled_owned();
        let serving = axum::serve(self.listener, app(self.state)).with_graceful_shutdown(stopped);
        let mut serving = tokio::spawn(serving.into_future());
        tokio::select! {
            ended = &mut serving => return ended.context("serving broke off")?.context("the listener failed"),
            () = stop => tracing::info!("stopping"),
        }
        stopping.cancel();
        runs.stop().await;
        match tokio::time::timeout(DRAIN, serving).await {
            Ok(ended) => ended.context("serving broke off")?.context("the listener failed"),
            Err(_elapsed) => {
                tracing::warn!("some connections were still open after {} s", DRAIN.as_secs());
                Ok(())
            }
        }
    }
}

fn parts(
    settings: Settings,
    store: Store,
    images: ImageFolder,
    runs: std::sync::Arc<Runs>,
    model: loupe_mllm::engine::ModelInfo,
    search: Search,
) -> Parts {
    let samples_dir = search::samples_dir(&search);
    Parts {
        runs,
        store,
        images,
        model,
        samples: search::samples(&samples_dir),
        samples_dir,
        search,
        public_url: settings.public_url,
        embed_ancestors: settings.embed_origins.join(" "),
        stopping: CancellationToken::new(),
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "another program uses this port; stop it, or give --listen another one",
            ErrorKind::PermissionDenied => "ports below 1024 need rights; give --listen a higher one",
            _ => "give --listen an address of this machine",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {address}: {advice}"))
    })
}
