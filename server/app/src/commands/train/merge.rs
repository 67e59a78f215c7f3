//! `loupe train merge`

use std::path::PathBuf;

use anyhow::bail;
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
    /// Where the merged model goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &MergeArgs) -> anyhow::Result<()> {
    if args.out.is_dir() && args.out.canonicalize().ok() == PathBuf::from(&args.model).canonicalize().ok() {
        bail!("--out is the model itself; name another folder");
    }
    let files = ModelSpec::parse(&args.model).files()?;
    let adapter = super::open_adapter(&args.adapter, &read_config(&files)?)?;
    merge(&files, &adapter, &args.out)?;
    eprintln!("the merged model is {}", args.out.display());
    Ok(())
}
