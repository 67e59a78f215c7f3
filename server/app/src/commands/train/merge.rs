//! `loupe train merge`

use std::path::PathBuf;

use loupe_mllm::checkpoint::read_config;
use loupe_train::tune::merge::merge;

use crate::model::ModelSpec;

#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// The model: a checkpoint folder or `pocket`
    #[arg(long, default_value = "pocket")]
    model: String,
    /// The adapter
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Where the merged model goes: a folder that is not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &MergeArgs) -> anyhow::Result<()> {
    let files = ModelSpec::parse(&args.model).files()?;
    let adapter = super::open_adapter(&args.adapter, &read_config(&files)?)?;
    merge(&files, &adapter, &args.out)?;
    eprintln!("the merged model is {}", args.out.display());
    Ok(())
}
