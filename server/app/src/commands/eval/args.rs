//! What `loupe eval` can be asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use loupe_shared::protocol::Workflow;
use loupe_train::eval::report::name;
use loupe_train::eval::report::summary::Prices;
use loupe_train::eval::session::Settings as DecidedBy;

use crate::commands::layout::LayoutArgs;
use crate::commands::stamp;
use crate::commands::tools::{JudgeArgs, ProviderArgs, TapeArgs, played_with};
use crate::commands::workflow::WorkflowArg;
use crate::settings::{Flags, Settings};

/// Most questions in flight: as many turns as the engine takes into its queue.
const MAX_IN_FLIGHT: u64 = 256;

/// Arguments of `loupe eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    /// Questions with their answers, as `loupe dataset build` writes them or in one of the layouts of --layout
    #[arg(long, value_name = "FILE", required_unless_present = "compare")]
    data: Option<PathBuf>,
    #[command(flatten)]
    layout: LayoutArgs,
    /// Workflows to compare, with commas between
    #[arg(long, value_delimiter = ',', value_enum, default_value = "agent")]
    workflow: Vec<WorkflowArg>,
    /// Folder for report.md, report.json, plots and rows.jsonl; an evaluation that was broken off goes on there
    #[arg(long, value_name = "DIR", required_unless_present = "compare")]
    pub(super) report: Option<PathBuf>,
    /// Compare reports with the first one, question by question: FILE, or FILE#WORKFLOW where it has several
    #[arg(long, value_name = "FILE", num_args = 2.., conflicts_with = "data")]
    pub(super) compare: Vec<String>,
    /// Checkpoint folder or `pocket` [default: pocket]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Numbers that the weights are kept in: `stored`, `q8_0` or `q4_k` [default: stored]
    #[arg(long, value_name = "FORMAT", conflicts_with = "engine")]
    weights: Option<String>,
    /// Where it decodes: `cpu`, `cuda` or `cuda:N` [default: cpu]
    #[arg(long, value_name = "DEVICE", conflicts_with = "engine")]
    device: Option<String>,
    /// Memory for keys and values of conversations, as in 512MiB or 4GiB [default: 1GiB]
    #[arg(long, value_name = "SIZE", conflicts_with = "engine")]
    kv_cache: Option<String>,
    /// Most pixels that the model is shown of a picture [default: 1003520, and never more than the checkpoint allows]
    #[arg(long, value_name = "PIXELS")]
    max_pixels: Option<u32>,
    /// Cores to compute on, with commas between [default: all, not pinned]
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    cores: Vec<usize>,
    /// Servers that decode instead: `openai:URL[,URL…][#model]`
    #[arg(long, value_name = "ENGINE", conflicts_with = "model")]
    engine: Option<String>,
    /// What the model behind --engine was trained to write: `tool-call` or `deepmm` [default: tool-call]
    #[arg(long, value_name = "DIALECT", requires = "engine")]
    dialect: Option<String>,
    /// LoRA adapter in PEFT's format: `DIR` is merged, `NAME=DIR` is there for --use-adapter; may be given several times
    #[arg(long, value_name = "[NAME=]DIR", conflicts_with = "engine")]
    adapter: Vec<String>,
    /// Answer with the adapter of this name
    #[arg(long, value_name = "NAME")]
    use_adapter: Option<String>,
    /// Hold every turn to the grammar of the model's dialect
    #[arg(long, conflicts_with = "engine")]
    constrain: bool,
    #[command(flatten)]
    providers: ProviderArgs,
    #[command(flatten)]
    tape: TapeArgs,
    /// End the evaluation with the first call that the recording does not have
    #[arg(long, requires = "replay")]
    strict_replay: bool,
    /// Ablation: search the whole picture where a part of it was to be searched
    #[arg(long)]
    no_crop: bool,
    /// Ablation: most text searches of a question, at most 10
    #[arg(long, value_name = "N")]
    max_text_searches: Option<u32>,
    #[command(flatten)]
    judge: JudgeArgs,
    /// Questions that are asked at the same time; what is answered does not depend on it
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u64).range(1..=MAX_IN_FLIGHT))]
    concurrency: u64,
    /// What a search costs, for the report
    #[arg(long, value_name = "PRICE")]
    price_per_search: Option<f64>,
    /// What a million tokens cost, read or written, for the report
    #[arg(long, value_name = "PRICE")]
    price_per_mtok: Option<f64>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What is measured, and how.
pub(super) struct Measured {
    pub(super) flags: Flags,
    pub(super) data: PathBuf,
    pub(super) layout: LayoutArgs,
    pub(super) report: PathBuf,
    pub(super) workflows: Vec<Workflow>,
    pub(super) use_adapter: Option<String>,
    pub(super) constrain: bool,
    pub(super) tape: TapeArgs,
    pub(super) strict_replay: bool,
    pub(super) no_crop: bool,
    pub(super) max_text_searches: Option<u32>,
    pub(super) judge: JudgeArgs,
    pub(super) concurrency: usize,
    pub(super) prices: Option<Prices>,
    pub(super) limit: Option<usize>,
}

impl EvalArgs {
    /// What is to be measured.
    pub(super) fn measured(self) -> anyhow::Result<Measured> {
        let mut workflows: Vec<Workflow> = Vec::new();
        for workflow in self.workflow.into_iter().map(Workflow::from) {
            if !workflows.contains(&workflow) {
                workflows.push(workflow);
            }
        }
        let has_price = self.price_per_search.is_some() || self.price_per_mtok.is_some();
        let prices = has_price.then(|| Prices {
            per_search: self.price_per_search.unwrap_or_default(),
            per_mtok: self.price_per_mtok.unwrap_or_default(),
        });
        let flags = self.providers.over(Flags {
            model: self.model,
            weights: self.weights,
            device: self.device,
            kv_cache: self.kv_cache,
            max_pixels: self.max_pixels,
            cores: self.cores,
            adapters: self.adapter,
            engine: self.engine,
            dialect: self.dialect,
            ..Flags::default()
        });
        Ok(Measured {
            flags,
            data: self.data.context("--data is missing")?,
            layout: self.layout,
            report: self.report.context("--report is missing")?,
            workflows,
            use_adapter: self.use_adapter,
            constrain: self.constrain,
            tape: self.tape,
            strict_replay: self.strict_replay,
            no_crop: self.no_crop,
            max_text_searches: self.max_text_searches,
            judge: self.judge,
            concurrency: usize::try_from(self.concurrency)?,
            prices,
            limit: self.limit,
        })
    }
}

impl Measured {
    /// Everything that decides what is answered and judged. Rows of an evaluation with other values are not mixed with
    /// this one's.
    pub(super) fn decided_by(&self, settings: &Settings) -> anyhow::Result<DecidedBy> {
        let text = |value: &dyn std::fmt::Display| value.to_string();
        let workflows: Vec<&str> = self.workflows.iter().map(|workflow| name(*workflow)).collect();
        let adapters: Result<Vec<String>, _> = settings.adapters.iter().map(stamp::adapter).collect();
        let values = BTreeMap::from([
            ("data", stamp::data(&self.data)?),
            ("layout", self.layout.stamp()?),
            ("workflows", workflows.join(",")),
            ("model", stamp::model(&settings.model)?),
            ("weights", format!("{:?}", settings.formats.weights())),
            ("max_pixels", text(&settings.max_pixels)),
            ("adapters", adapters?.join(", ")),
            ("adapter", self.use_adapter.clone().unwrap_or_default()),
            ("constrain", text(&self.constrain)),
            ("no_crop", text(&self.no_crop)),
            ("max_text_searches", self.max_text_searches.map_or_else(String::new, |n| n.to_string())),
            ("limit", self.limit.map_or_else(String::new, |limit| limit.to_string())),
        ]);
        let given = values.into_iter().filter(|(_, value)| !value.is_empty() && value != "false");
        let mut decided_by = played_with(settings, &self.tape, &self.judge)?;
        decided_by.0.extend(given.map(|(name, value)| (name.to_owned(), value)));
        Ok(decided_by)
    }
}
