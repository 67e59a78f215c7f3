//! `loupe serve`

/// Arguments of `loupe serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Print the settings in force, without secrets, and end
    #[arg(long)]
    print_config: bool,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the settings are wrong, the data folder, the model or the index cannot be used, or the port is taken.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    anyhow::bail!("serving is not ready yet ({args:?})")
}
