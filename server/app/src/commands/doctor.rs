//! `loupe doctor`

use std::io::Write;
use std::process::ExitCode;

use loupe_agent::dialect;
use loupe_shared::protocol::Tool;

use crate::data::DataFolder;
use crate::http::{bundle, health};
use crate::search;
use crate::settings::{Flags, Settings};
use crate::store::Store;
use crate::text::with_causes;

/// Arguments of `loupe doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    settings: Flags,
}

/// Checks everything that serving needs. Status 1 when something is wrong.
///
/// # Errors
/// When the settings are wrong.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&args.settings)?;
    let mut findings = vec![
        Finding::of("data folder", data_folder(&settings)),
        Finding::of("model", model(&settings).await),
        Finding::of("web client", web_client()),
    ];
    findings.extend(providers(&settings).await);
    let mut out = std::io::stdout();
    for finding in &findings {
        let (mark, text) = match &finding.outcome {
            Ok(text) => ("ok   ", text),
            Err(text) => ("WRONG", text),
        };
        writeln!(out, "{mark}  {:<12}  {text}", finding.what)?;
    }
    let is_well = findings.iter().all(|finding| finding.outcome.is_ok());
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a check found: a description, or what is wrong and what to do.
struct Finding {
    what: &'static str,
    outcome: Result<String, String>,
}

impl Finding {
    fn of(what: &'static str, outcome: anyhow::Result<String>) -> Self {
        Self { what, outcome: outcome.map_err(|error| with_causes(&error)) }
    }
}

fn data_folder(settings: &Settings) -> anyhow::Result<String> {
    let data = DataFolder::open(&settings.data)?;
    Store::open(&data.database())?;
    Ok(data.root().display().to_string())
}

async fn model(settings: &Settings) -> anyhow::Result<String> {
    let decoder = settings.open_model().await?;
    let info = decoder.info();
    dialect::by_name(&info.dialect)?;
    Ok(format!("{}, dialect {}, {} tokens of context", info.name, info.dialect, info.context))
}

fn web_client() -> anyhow::Result<String> {
    anyhow::ensure!(
        bundle::is_built(),
        "this program was built without it; run ./run, or build it with cargo run --release -p loupe-web-builder and build loupe again"
    );
    Ok("in the program".to_owned())
}

async fn providers(settings: &Settings) -> Vec<Finding> {
    let search = match search::open(settings) {
        Ok(search) => search,
        Err(error) => return vec![Finding { what: "search", outcome: Err(error.to_string()) }],
    };
    let checked = health::check(&search).await.into_iter();
    checked
        .map(|provider| {
            let what = match provider.kind {
                Tool::ImageSearch => "image search",
                Tool::TextSearch => "text search",
            };
            Finding { what, outcome: provider.problem.map_or(Ok(provider.name), Err) }
        })
        .collect()
}
