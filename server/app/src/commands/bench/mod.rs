//! `loupe bench`: what the engine does on this machine.
//!
//! - `serve`: several people at once.
//! - `grammar`: turns held to a grammar.
//! - `drafts`: drafts from the prompt.

mod drafts;
mod grammar;
mod serve;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;
use loupe_mllm::bench::{self, DecodeFigure, PrefillFigure, VisionFigure};
use loupe_mllm::lm::LanguageModel;
use loupe_mllm::{Loaded, WeightFormat};
use serde::Serialize;

use crate::logging;
use crate::model::{ModelOptions, ModelSpec, weight_format};

/// The random model that can be measured instead of a checkpoint.
const RANDOM_3B: &str = "random:3b";

/// Layers of Qwen2.5-VL 3B.
const LAYERS_3B: usize = 36;

/// Arguments of `loupe bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
    /// Write one line of JSON per figure
    #[arg(long, global = true)]
    json: bool,
    /// Numbers that the weights are kept in: `stored`, `q8_0` or `q4_k`; several are measured one after the other
    #[arg(long, global = true, value_delimiter = ',', default_value = "stored", value_parser = weight_format)]
    weights: Vec<WeightFormat>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tokens per second while sequences write, beside what memory allows
    Decode {
        /// Checkpoint folder, `pocket`, or `random:3b` for the shape of Qwen2.5-VL 3B with random weights
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Sequences that write together
        #[arg(long, value_delimiter = ',', default_value = "1,4,8")]
        batch: Vec<usize>,
        /// Tokens that each sequence has already
        #[arg(long, default_value_t = 512)]
        context: usize,
        /// Steps; the median counts
        #[arg(long, default_value_t = 64)]
        steps: usize,
    },
    /// Tokens per second of a prompt
    Prefill {
        /// As for `decode`
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Layers of the random model, to measure in little memory
        #[arg(long, default_value_t = LAYERS_3B)]
        layers: usize,
        /// Tokens of the prompt
        #[arg(long, value_delimiter = ',', default_value = "128,512")]
        tokens: Vec<usize>,
        /// Runs; the median counts
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Time to see a picture, with the vision tower of Qwen2.5-VL 3B and random weights
    Vision {
        /// Blocks of the tower
        #[arg(long, default_value_t = 32)]
        blocks: usize,
        /// Rows and columns of the tokens that the picture becomes
        #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [32, 40])]
        grid: Vec<usize>,
        /// Runs; the median counts
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// What it costs to hold a turn to the grammar of a dialect
    Grammar {
        /// Checkpoint folder or `pocket`
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Another tokenizer.json than the model's, for a larger vocabulary
        #[arg(long, value_name = "FILE")]
        tokenizer: Option<PathBuf>,
        /// Turns; the mean counts
        #[arg(long, default_value_t = 20)]
        runs: usize,
    },
    /// What drafts from the prompt gain while questions are answered with real tools
    Drafts {
        /// Checkpoint folder or `pocket`
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Questions, as `loupe dataset build` writes them
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        /// Folder of the local index to search
        #[arg(long, value_name = "DIR")]
        index: PathBuf,
        /// Only the first N questions
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: usize,
    },
    /// Time to the first token and throughput with several people at once
    Serve {
        /// Checkpoint folder or `pocket`
        #[arg(long, default_value = "pocket")]
        model: String,
        /// People who ask at the same time
        #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
        people: Vec<usize>,
        /// Questions in all, three turns each
        #[arg(long, default_value_t = 32)]
        questions: usize,
        /// Tokens of an answer
        #[arg(long, default_value_t = 48)]
        tokens: u32,
    },
}

/// Measures.
///
/// # Errors
/// When the model cannot be opened or refuses what is measured.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    logging::start("error")?;
    let out = Out { json: args.json };
    for format in args.weights {
        measure(&args.what, format, &out).await?;
    }
    Ok(())
}

async fn measure(what: &What, format: WeightFormat, out: &Out) -> anyhow::Result<()> {
    match what {
        What::Decode { model, batch, context, steps } => {
            let model = language(model, format, LAYERS_3B)?;
            let limit = bench::read_limit();
            out.line(&limit_line(limit), &serde_json::json!({ "read_limit_bytes_per_second": limit }))?;
            for batch in batch {
                let figure = bench::decode(&model, *batch, *context, *steps, limit)?;
                out.line(&decode_line(&figure), &figure)?;
            }
        }
        What::Prefill { model, layers, tokens, runs } => {
            let model = language(model, format, *layers)?;
            for tokens in tokens {
                let figure = bench::prefill(&model, *tokens, *runs)?;
                out.line(&prefill_line(&figure), &figure)?;
            }
        }
        What::Vision { blocks, grid, runs } => {
            let [rows, columns] = grid[..] else {
                anyhow::bail!("--grid takes rows and columns, as in 32,40")
            };
            let figure = bench::vision(&bench::tower_3b(*blocks)?, [rows, columns], *runs)?;
            out.line(&vision_line(&figure), &figure)?;
        }
        What::Grammar { model, tokenizer, runs } => {
            let figure = grammar::grammar(model, tokenizer.as_deref(), *runs)?;
            out.line(&grammar::line(&figure), &figure)?;
        }
        What::Drafts { model, data, index, limit } => {
            let figure = drafts::drafts(model, format, data, index, *limit).await?;
            out.line(&drafts::line(&figure), &figure)?;
        }
        What::Serve { model, people, questions, tokens } => {
            for people in people {
                let options = ModelOptions { weights: format, ..ModelOptions::default() };
                let decoder = ModelSpec::parse(model).open(options).await?;
                let figure = serve::serve(decoder, *people, *questions, *tokens).await?;
                out.line(&serve::line(&figure), &figure)?;
            }
        }
    }
    Ok(())
}

fn language(model: &str, format: WeightFormat, layers: usize) -> anyhow::Result<LanguageModel> {
    if model == RANDOM_3B {
        return Ok(bench::shape_3b(format, layers)?);
    }
    Ok(Loaded::open_for_serving(&ModelSpec::parse(model).files()?, format)?.model.language)
}

/// Where figures go.
struct Out {
    json: bool,
}

impl Out {
    fn line(&self, words: &str, figure: &impl Serialize) -> anyhow::Result<()> {
        let line = if self.json { serde_json::to_string(figure)? } else { words.to_owned() };
        Ok(writeln!(io::stdout().lock(), "{line}")?)
    }
}

fn limit_line(limit: f64) -> String {
    format!("memory is read at {:.1} GB/s by all threads", limit / 1e9)
}

fn decode_line(figure: &DecodeFigure) -> String {
    let DecodeFigure { batch, context, step_ms, tokens_per_second, of_read_limit } = figure;
    let share = of_read_limit * 100.0;
    format!(
        "{batch} at once after {context} tokens: {tokens_per_second:.1} tokens/s, {step_ms:.2} ms a step, {share:.0} % of what memory allows"
    )
}

fn vision_line(figure: &VisionFigure) -> String {
    let VisionFigure { tokens, blocks, look_ms } = figure;
    format!("a picture of {tokens} tokens through {blocks} blocks: {look_ms:.0} ms")
}

fn prefill_line(figure: &PrefillFigure) -> String {
    let PrefillFigure { tokens, step_ms, tokens_per_second } = figure;
    format!("a prompt of {tokens} tokens: {tokens_per_second:.0} tokens/s, {step_ms:.1} ms")
}
