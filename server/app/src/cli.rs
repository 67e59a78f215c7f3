//! The command line: what can be asked for, and what the exit status means.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::commands::{ask, atlas, bench, dataset, doctor, eval, index, probe, serve, train};
use crate::text::with_causes;

/// How long threads have to end when the program does.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Point at something in a picture, ask, and get an answer that was looked up, with its sources.
#[derive(Debug, Parser)]
#[command(name = "loupe", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Loupe to browsers
    Serve(serve::ServeArgs),
    /// Ask about pictures in the terminal
    Ask(ask::AskArgs),
    /// Check model, data folder, index, search providers and web bundle
    Doctor(doctor::DoctorArgs),
    /// Make or query a local search index
    Index(index::IndexArgs),
    /// Make the Atlas, the embedded world
    Atlas(atlas::AtlasArgs),
    /// Make training data
    Dataset(dataset::DatasetArgs),
    /// Train a model
    Train(train::TrainArgs),
    /// Measure a model with real tools
    Eval(Box<eval::EvalArgs>),
    /// Measure the engine on this machine
    Bench(bench::BenchArgs),
    /// Write a model's tensors for one input, to compare with other implementations
    Probe(probe::ProbeArgs),
}

/// Runs the program with the arguments it was started with. Status 0: done; 1: failed, with the reason on standard
/// error; 2: the arguments are wrong.
#[must_use]
pub fn main() -> ExitCode {
    run_from(std::env::args_os())
}

/// Runs the program with `args`, the program's name first.
pub fn run_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("no threads could be started")),
    };
    let outcome = runtime.block_on(dispatch(cli.command));
    // Decoding that was told to stop ends with its token; what does not must not hold the process.
    runtime.shutdown_timeout(SHUTDOWN);
    match outcome {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args).await?,
        Command::Ask(args) => return ask::run(args).await,
        Command::Doctor(args) => return doctor::run(args).await,
        Command::Index(args) => index::run(args).await?,
        Command::Atlas(args) => atlas::run(args)?,
        Command::Dataset(args) => dataset::run(args).await?,
        Command::Train(args) => train::run(args).await?,
        Command::Eval(args) => eval::run(*args).await?,
        Command::Bench(args) => bench::run(args).await?,
        Command::Probe(args) => probe::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `loupe … | head` ends the reader first; that is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do where standard error is closed too.
    writeln!(std::io::stderr(), "loupe: {}", with_causes(error)).unwrap_or_default();
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
