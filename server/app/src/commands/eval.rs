//! `loupe eval`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loupe_mllm::{AdapterSpec, Limits, Processor, WeightFormat};
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_train::dataset::file;
use loupe_train::dataset::record::Record;
use loupe_train::eval::report::Report;
use loupe_train::eval::run::{Evaluation, Scored};

use super::workflow::WorkflowArg;
use crate::logging;
use crate::model::{ModelOptions, ModelSpec, adapter, processor, weight_format};

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
    /// Where it decodes: `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "cpu", value_parser = processor)]
    device: Processor,
    /// Hold every turn to the grammar of the model's dialect
    #[arg(long)]
    constrain: bool,
    /// LoRA adapter in PEFT's format: `DIR` is merged, `NAME=DIR` is there for --use-adapter; may be given several times
    #[arg(long, value_name = "[NAME=]DIR", value_parser = adapter)]
    adapter: Vec<AdapterSpec>,
    /// Answer with the adapter of this name
    #[arg(long, value_name = "NAME")]
    use_adapter: Option<String>,
    /// Folder of the local index to search
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
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
    let (weights, limits) = (args.weights, Limits::default());
    let options = ModelOptions { weights, device: args.device, limits, adapters: args.adapter };
    let decoder = ModelSpec::parse(&args.model).open(options).await?;
    decoder.info().check_adapter(args.use_adapter.as_deref())?;
    let name = match &args.use_adapter {
        Some(adapter) => format!("{} with {adapter}", decoder.info().name),
        None => decoder.info().name.clone(),
    };
    let index = Arc::new(Index::open(&args.index)?);
    let (text, image) = (Arc::new(LocalText::new(index.clone())), Arc::new(LocalImage::new(index)));
    let evaluation = Evaluation::new(decoder, args.use_adapter.map(Arc::from), text, image)?;
    let evaluation = evaluation.constrained(args.constrain);
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
