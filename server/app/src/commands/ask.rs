//! `loupe ask`

/// Arguments of `loupe ask`.
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    /// The pictures' files, then the question
    #[arg(required = true, value_name = "IMAGE… QUESTION")]
    inputs: Vec<String>,
    /// Write the run's events as JSON lines
    #[arg(long)]
    json: bool,
}

/// Answers one question.
///
/// # Errors
/// When a picture cannot be read, the model or the index cannot be used, or the run fails.
pub async fn run(args: AskArgs) -> anyhow::Result<()> {
    anyhow::bail!("asking is not ready yet ({args:?})")
}
