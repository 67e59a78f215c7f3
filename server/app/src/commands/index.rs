//! `loupe index`

use std::path::PathBuf;

/// Arguments of `loupe index`.
#[derive(Debug, clap::Args)]
pub struct IndexArgs {
    #[command(subcommand)]
    command: IndexCommand,
}

#[derive(Debug, clap::Subcommand)]
enum IndexCommand {
    /// Index a folder of pages (.md) and pictures (.png, .jpg, .webp)
    Build {
        /// The folder
        dir: PathBuf,
    },
    /// Search an indexed folder
    Query(QueryArgs),
}

#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = false, args = ["text", "image"])]
struct QueryArgs {
    /// The folder
    #[arg(long)]
    dir: PathBuf,
    /// Search by words
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Search by picture
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Most hits wanted
    #[arg(long, default_value_t = 5)]
    limit: usize,
    /// Write the hits as JSON
    #[arg(long)]
    json: bool,
}

/// Makes or queries a local index.
///
/// # Errors
/// When the folder or the index cannot be used.
pub async fn run(args: IndexArgs) -> anyhow::Result<()> {
    anyhow::bail!("indexing is not ready yet ({args:?})")
}
