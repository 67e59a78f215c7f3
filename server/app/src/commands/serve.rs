//! `loupe serve`

use std::io::Write;

use anyhow::Context;

use crate::server::Server;
use crate::settings::{Flags, Settings};
use crate::{logging, metrics};

/// Arguments of `loupe serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: Flags,
    /// Where to listen [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Questions that are answered at the same time; more wait in line [default: 8]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Print the settings in force, without secrets, and end
    #[arg(long)]
    print_config: bool,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the settings are wrong, the data folder, the model or the index cannot be used, or the port is taken.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let settings = Settings::load(&Flags { listen: args.listen, runs: args.runs, ..args.settings })?;
    if args.print_config {
        write!(std::io::stdout(), "{}", settings.to_toml()?)?;
        return Ok(());
    }
    logging::start(&settings.log)?;
    metrics::start()?;
    loupe_mllm::threads::use_cores(&settings.cores)?;
    let stop = stop_signal()?;
    let server = Server::open(settings).await?;
    writeln!(std::io::stdout(), "Loupe is at http://{}", server.address())?;
    server.serve(stop).await
}

/// Resolves with the first SIGINT or SIGTERM. Listening begins with the call, not with the first poll.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
