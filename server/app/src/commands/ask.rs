//! `loupe ask`

use std::io::{self, Stderr, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError, Query, QueryPicture};
use loupe_agent::{Agent, AgentConfig, RunEnd};
use loupe_mllm::threads;
use loupe_shared::ids::{CallId, ImageId};
use loupe_shared::pixels::{Rect, Region, Rgb8, crop};
use loupe_shared::protocol::{CropBy, Envelope, Event, ImageRole, Workflow};
use tokio_util::sync::CancellationToken;

use super::workflow::WorkflowArg;
use crate::images::{MAX_BYTES, decode};
use crate::moment::now_ms;
use crate::narrator::Narrator;
use crate::settings::{Flags, Settings};
use crate::{logging, search};

/// Arguments of `loupe ask`.
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    #[command(flatten)]
    settings: Flags,
    /// The pictures' files, then the question
    #[arg(required = true, value_name = "IMAGE… QUESTION")]
    inputs: Vec<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "agent")]
    workflow: WorkflowArg,
    /// Answer with the adapter of this name, one of those that --adapter gives or the servers have
    #[arg(long, value_name = "NAME")]
    use_adapter: Option<String>,
    /// Write the run's events to standard output as JSON lines
    #[arg(long)]
    json: bool,
}

/// Answers one question. Status 0 with an answer, 1 without.
///
/// # Errors
/// When a picture cannot be read, or the model or the index cannot be used.
pub async fn run(args: AskArgs) -> anyhow::Result<ExitCode> {
    let mut query = query(args.inputs, args.workflow.into(), args.use_adapter)?;
    // The steps are told; only what is wrong is logged besides.
    let flags = Flags { log: args.settings.log.clone().or_else(|| Some("warn".to_owned())), ..args.settings };
    let settings = Settings::load(&flags)?;
    logging::start(&settings.log)?;
    threads::use_cores(&settings.cores)?;
    query.constrain = settings.constrain.contains(&query.workflow);
    let search = search::open(&settings)?;
    let decoder = settings.open_model().await?;
    decoder.info().check_adapter(query.adapter.as_deref())?;
    let agent = Agent::new(decoder, search.text, search.image, AgentConfig::default())?;
    let host = TerminalHost::new(args.json);
    let cancel = CancellationToken::new();
    let on_interrupt = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    });
    Ok(match agent.run(query, &host, cancel).await {
        RunEnd::Done(_) => ExitCode::SUCCESS,
        RunEnd::Failed(_) | RunEnd::Cancelled => ExitCode::FAILURE,
    })
}

fn query(mut inputs: Vec<String>, workflow: Workflow, adapter: Option<String>) -> anyhow::Result<Query> {
    let question = inputs.pop().unwrap_or_default();
    if question.trim().is_empty() || Path::new(&question).is_file() {
        anyhow::bail!("the question is missing; write it after the pictures, in quotes");
    }
    let pictures = inputs.iter().map(|path| picture(Path::new(path))).collect::<anyhow::Result<_>>()?;
    let adapter = adapter.map(Arc::from);
    let (lang, constrain) = (None, false);
    Ok(Query { question, pictures, earlier: Vec::new(), workflow, adapter, lang, constrain })
}

fn picture(path: &Path) -> anyhow::Result<QueryPicture> {
    let shown = PathBuf::from(path);
    let size = std::fs::metadata(path).with_context(|| format!("{} cannot be read", shown.display()))?.len();
    anyhow::ensure!(
        size <= MAX_BYTES as u64,
        "{} has {size} bytes; at most {MAX_BYTES} are taken",
        shown.display()
    );
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", shown.display()))?;
    let pixels = decode(&bytes).with_context(|| format!("{} cannot be used", shown.display()))?.pixels;
    let image_id = ImageId::from_hash(blake3::hash(&bytes).as_bytes());
    Ok(QueryPicture { image_id, role: ImageRole::Whole, region: None, pixels: Arc::new(pixels) })
}

/// Carries a run in a terminal: nothing is kept.
struct TerminalHost {
    teller: Mutex<Teller>,
}

enum Teller {
    /// For people.
    Narrator(Box<Narrator<Stderr, Stdout>>),
    /// For programs: the number of the newest event.
    Json(u64),
}

impl TerminalHost {
    fn new(json: bool) -> Self {
        let narrator = || Teller::Narrator(Box::new(Narrator::new(io::stderr(), io::stdout())));
        Self { teller: Mutex::new(if json { Teller::Json(0) } else { narrator() }) }
    }

    fn tell(&self, event: &Event) -> io::Result<()> {
        match &mut *self.teller.lock().unwrap_or_else(PoisonError::into_inner) {
            Teller::Narrator(narrator) => narrator.tell(event),
            Teller::Json(seq) => {
                *seq += 1;
                writeln!(io::stdout(), "{}", serde_json::to_string(&Envelope::new(*seq, now_ms(), event))?)
            }
        }
    }
}

#[async_trait]
impl Host for TerminalHost {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        self.tell(&event).map_err(|error| HostError(error.to_string()))
    }

    async fn crop(&self, _call: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        let cut = || {
            let rect = Rect::of_region(&region, (uploaded.width(), uploaded.height()))?;
            crop(uploaded, rect)
        };
        let pixels = cut().map_err(|error| HostError(error.to_string()))?;
        let image_id = ImageId::from_hash(blake3::hash(pixels.data()).as_bytes());
        Ok(Crop { image_id, by: CropBy::Server, pixels: Arc::new(pixels) })
    }
}
