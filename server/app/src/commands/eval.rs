//! `loupe eval`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loupe_mllm::WeightFormat;
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_shared::protocol::Workflow;
use loupe_train::dataset::file;
use loupe_train::dataset::record::Record;
use loupe_train::eval::report::Report;
use loupe_train::eval::run::{Evaluation, Scored};

use crate::logging;
use crate::model::{ModelSpec, weight_format};

/// Arguments of `loupe eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    /// Questions with their answers, as `loupe dataset build` writes them
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Workflows to compare, with commas between
    #[arg(long, value_delimiter = ',', value_enum, default_value = "agent")]
    workflow: Vec<WorkflowArg>,
    /// Where to write report.json and report.md
    #[arg(long, value_name = "DIR")]
    report: PathBuf,
    /// Checkpoint folder or `pocket`
    #[arg(long, default_value = "pocket")]
    model: String,
    /// Numbers that the weights are kept in: `stored`, `q8_0` or `q4_k`
    #[arg(long, default_value = "stored", value_parser = weight_format)]
    weights: WeightFormat,
    /// Folder of the local index to search
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum WorkflowArg {
    Direct,
    Rag,
    Agent,
}

impl WorkflowArg {
    fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Rag => "rag",
            Self::Agent => "agent",
        }
    }
}

impl From<WorkflowArg> for Workflow {
    fn from(arg: WorkflowArg) -> Self {
        match arg {
            WorkflowArg::Direct => Self::Direct,
            WorkflowArg::Rag => Self::Rag,
            WorkflowArg::Agent => Self::Agent,
        }
    }
}

/// Measures a model.
///
/// # Errors
/// When the questions, the model or the index cannot be used.
pub async fn run(args: EvalArgs) -> anyhow::Result<()> {
    // Runs that fail are counted; each of them need not be told.
    logging::start("error")?;
    let mut records = file::read(&args.data)?;
    records.truncate(args.limit.unwrap_or(usize::MAX));
    let decoder = ModelSpec::parse(&args.model).open(args.weights).await?;
    let name = decoder.info().name.clone();
    let index = Arc::new(Index::open(&args.index)?);
    let (text, image) = (Arc::new(LocalText::new(index.clone())), Arc::new(LocalImage::new(index)));
    let evaluation = Evaluation::new(decoder, text, image)?;
    let mut report = Report::new(&name, &args.data.display().to_string());
    let folder = args.data.parent().unwrap_or(Path::new("."));
    for workflow in args.workflow {
        let rows = score(&evaluation, &records, folder, workflow).await?;
        report.add(workflow.as_str(), rows);
        report.write(&args.report)?;
    }
    write!(io::stdout().lock(), "{}", report.markdown())?;
    Ok(())
}

async fn score(
    evaluation: &Evaluation,
    records: &[Record],
    folder: &Path,
    workflow: WorkflowArg,
) -> anyhow::Result<Vec<Scored>> {
    let mut rows = Vec::with_capacity(records.len());
    for record in records {
        rows.push(evaluation.score(record, folder, workflow.into()).await?);
        if rows.len() % 20 == 0 {
            let right = rows.iter().filter(|row| row.right).count();
            writeln!(io::stderr(), "{}: {right} of {} right", workflow.as_str(), rows.len())?;
        }
    }
    Ok(rows)
}
