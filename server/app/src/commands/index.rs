//! `loupe index`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_search::picture::decode;
use loupe_search::{Found, ImageQuery, ImageRef, ImageSearch, TextQuery, TextSearch};
use loupe_shared::pixels::Rgb8;

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
#[command(group(clap::ArgGroup::new("what").required(true).args(["text", "image"])))]
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
    match args.command {
        IndexCommand::Build { dir } => build(&dir, &mut io::stdout()),
        IndexCommand::Query(args) => write_hits(&query(&args).await?, args.json, &mut io::stdout()),
    }
}

fn build(dir: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let (_, report) = Index::build(dir)?;
    writeln!(out, "{}: {} pages, {} pictures", dir.display(), report.pages, report.pictures)?;
    for skipped in report.skipped {
        writeln!(out, "left out {}: {}", skipped.path.display(), skipped.reason)?;
    }
    Ok(())
}

async fn query(args: &QueryArgs) -> anyhow::Result<Found> {
    let index = Arc::new(Index::open(&args.dir)?);
    let limit = args.limit;
    let found = match (&args.text, &args.image) {
        (Some(text), _) => {
            LocalText::new(index).search(&TextQuery { text: text.clone(), limit, lang: None }).await?
        }
        (None, Some(file)) => {
            let image = ImageRef::Pixels(Arc::new(read_picture(file)?));
            LocalImage::new(index).search(&ImageQuery { image, limit }).await?
        }
        (None, None) => anyhow::bail!("give --text WORDS or --image FILE"),
    };
    Ok(found)
}

fn write_hits(found: &Found, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found.hits)?)?;
        return Ok(());
    }
    for hit in &found.hits {
        writeln!(out, "{}. {}  {}\n   {}", hit.rank, hit.title, hit.url, hit.snippet)?;
    }
    Ok(())
}

fn read_picture(file: &Path) -> anyhow::Result<Rgb8> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    decode(&bytes).with_context(|| format!("{} is no usable picture", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: IndexArgs,
    }

    #[test]
    fn a_query_has_words_or_a_picture() {
        let parse = |what: &[&str]| {
            let fixed = ["index", "query", "--dir", "d", "--limit", "2", "--json"];
            Line::try_parse_from(fixed.iter().chain(what))
        };
        assert!(parse(&["--text", "w"]).is_ok());
        assert!(parse(&["--image", "f"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--text", "w", "--image", "f"]).is_err());
    }
}
