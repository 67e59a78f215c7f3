//! `loupe eval`

use std::path::PathBuf;

/// Arguments of `loupe eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    /// Questions with their answers, as `loupe dataset build` writes them
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Workflows to compare, with commas between
    #[arg(long, value_delimiter = ',', value_parser = ["direct", "rag", "agent"], default_value = "agent")]
    workflow: Vec<String>,
    /// Where to write report.json and report.md
    #[arg(long, value_name = "DIR")]
    report: PathBuf,
    /// Checkpoint folder or `pocket`
    #[arg(long, default_value = "pocket")]
    model: String,
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
    anyhow::bail!("evaluation is not ready yet ({args:?})")
}
