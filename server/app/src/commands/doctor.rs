//! `loupe doctor`

use std::process::ExitCode;

/// Arguments of `loupe doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {}

/// Checks everything that serving needs. Status 1 when something is wrong.
///
/// # Errors
/// When the settings are wrong.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the checks are not ready yet ({args:?})")
}
