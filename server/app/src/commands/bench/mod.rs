//! `loupe bench`: what the engine does on this machine.
//!
//! - `serve`: several people at once.
//! - `stall`: how long a long prompt keeps others waiting.
//! - `turns`: what turns of real runs spare.
//! - `served`: the engine over a model that is to be measured.
//! - `grammar`: turns held to a grammar.
//! - `drafts`: drafts from the prompt and by a drafter.
//! - `watched`: questions answered with real tools, for these two.

mod drafts;
mod grammar;
mod serve;
mod served;
mod stall;
mod turns;
mod watched;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use clap::builder::RangedU64ValueParser;
use loupe_mllm::bench::{
    self, ChooseFigure, DecodeFigure, GuessFigure, PictureFigure, PrefillFigure, VisionFigure,
};
use loupe_mllm::config::ModelConfig;
use loupe_mllm::config::vision::MERGE;
use loupe_mllm::device::Language;
use loupe_mllm::engine::Completion;
use loupe_mllm::model::Grid;
use loupe_mllm::{Formats, Loaded, Processor, WeightFormat};
use loupe_train as train;
use loupe_train::bench::{TrainFigure, Trained, TuneFigure, Tuning};
use serde::Serialize;

use self::watched::Asked;
use crate::logging;
use crate::model::{ModelSpec, TAKES_FEWER, processor, weight_format};

/// How models with random weights are written, that can be measured instead of a checkpoint.
const RANDOM: &str = "random:";
/// Width of the language model of Qwen2.5-VL 3B.
const WIDTH_3B: usize = 2048;
/// Rank of the adapter that is tuned: the paper's.
const RANK: usize = 8;

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
    /// Numbers of a drafter's weights, fewer bits than those: `decode` tells what its guesses cost, the others draft with it
    #[arg(long, global = true, value_name = "FORMAT", value_parser = weight_format)]
    drafter: Option<WeightFormat>,
    /// Where it decodes: `cpu`, `cuda` or `cuda:N`
    #[arg(long, global = true, default_value = "cpu", value_parser = processor)]
    device: Processor,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tokens per second while sequences write, beside what memory allows
    Decode {
        /// Checkpoint folder, `pocket`, or `random:3b` or `random:7b` for that shape of Qwen2.5-VL with random weights
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
        /// Layers of the random model, to measure in little memory [default: all]
        #[arg(long)]
        layers: Option<usize>,
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
        #[arg(long, default_value_t = bench::TOWER_BLOCKS)]
        blocks: usize,
        /// Rows and columns of the tokens that the picture becomes
        #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [32, 40])]
        grid: Vec<usize>,
        /// Runs; the median counts
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// Time from a picture with a question to the first token
    Picture {
        /// `random:3b` or `random:7b`
        #[arg(long, default_value = "random:7b")]
        model: String,
        /// Rows and columns of the tokens that the picture becomes
        #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [32, 40])]
        grid: Vec<usize>,
        /// Tokens of the question
        #[arg(long, default_value_t = 200)]
        question: usize,
        /// Runs; the median counts
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Time to choose a token from the scores of a large vocabulary, on this machine's processor
    Choose {
        /// Divides the scores of a draw
        #[arg(long, default_value_t = 1.0)]
        temperature: f32,
        /// The part of all probability that a draw is made from
        #[arg(long, default_value_t = 0.9)]
        top_p: f32,
        /// Runs; the median counts
        #[arg(long, default_value_t = 50)]
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
    /// What drafts gain while questions are answered with real tools
    Drafts {
        /// Checkpoint folder or `pocket`
        #[arg(long, default_value = "pocket")]
        model: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Time to the first token of the later turns of questions answered with real tools, and of the same turns cold
    Turns {
        /// Checkpoint folder or `pocket`
        #[arg(long, default_value = "pocket")]
        model: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Tokens per second of training in f32, everything and then a LoRA adapter
    Train {
        /// Checkpoint folder or `pocket`, for its shape
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Sequences of a step
        #[arg(long, default_value_t = 8)]
        rows: usize,
        /// Tokens of each
        #[arg(long, default_value_t = 512)]
        length: usize,
        /// Steps; the median counts
        #[arg(long, default_value_t = 5)]
        steps: usize,
    },
    /// Memory and time of tuning an adapter of rank 8, in f32 or on a GPU in bf16, with the shape of Qwen2.5-VL and random
    /// weights
    Tune {
        /// `random:3b` or `random:7b`
        #[arg(long, default_value = "random:7b")]
        model: String,
        /// Layers of its language model, to measure in little memory [default: all]
        #[arg(long)]
        layers: Option<usize>,
        /// Tokens of a step
        #[arg(long, default_value_t = 1024)]
        length: usize,
        /// Keep everything that layers compute for their gradients, instead of computing it again
        #[arg(long)]
        no_checkpointing: bool,
        /// Steps; the median counts
        #[arg(long, default_value_t = 1)]
        steps: usize,
    },
    /// How long a long prompt keeps those waiting who write, or ask a short question
    Stall {
        /// As for `serve`
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Layers of the random model, to measure in little memory [default: all]
        #[arg(long)]
        layers: Option<usize>,
        /// Tokens of the long prompt, about
        #[arg(long, default_value_t = 3_000)]
        prompt: usize,
    },
    /// Time to the first token and throughput with several people at once
    Serve {
        /// Checkpoint folder, `pocket`, or `random:3b` or `random:7b` with random weights and the pocket's words
        #[arg(long, default_value = "pocket")]
        model: String,
        /// Layers of the random model, to measure in little memory [default: all]
        #[arg(long)]
        layers: Option<usize>,
        /// People who ask at the same time
        #[arg(long, value_delimiter = ',', default_value = "1,4,16", value_parser = at_least_one())]
        people: Vec<usize>,
        /// Questions in all, three turns each
        #[arg(long, default_value_t = 32, value_parser = at_least_one())]
        questions: usize,
        /// Tokens of an answer
        #[arg(long, default_value_t = 48)]
        tokens: u32,
        /// Width and height of the picture that a conversation begins with; 0 for words only
        #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u32).range(..=4096))]
        picture: u32,
    },
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Measures.
///
/// # Errors
/// When the model cannot be opened or refuses what is measured.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    logging::start("error")?;
    let out = Out { json: args.json };
    for format in args.weights {
        let formats = Formats::new(format, args.drafter).context(TAKES_FEWER)?;
        measure(&args.what, formats, args.device, &out).await?;
    }
    Ok(())
}

async fn measure(what: &What, formats: Formats, on: Processor, out: &Out) -> anyhow::Result<()> {
    match what {
        What::Decode { model, batch, context, steps } => {
            let model = language(model, formats, on, None)?;
            for batch in batch {
                let figure = bench::decode(&model, on, *batch, *context, *steps)?;
                out.line(&decode_line(&figure), &figure)?;
            }
            if model.has_drafter() {
                for guessed in 0..=bench::DEEPEST {
                    let figure = bench::guesses(&model, guessed, *context, *steps)?;
                    out.line(&guesses_line(&figure), &figure)?;
                }
            }
        }
        What::Prefill { model, layers, tokens, runs } => {
            let model = language(model, formats, on, *layers)?;
            for tokens in tokens {
                let figure = bench::prefill(&model, *tokens, *runs)?;
                out.line(&prefill_line(&figure), &figure)?;
            }
        }
        What::Vision { blocks, grid, runs } => {
            let eye = bench::random_eye(WIDTH_3B, *blocks, on)?;
            let figure = bench::vision(&eye, *blocks, sides(grid)?, *runs)?;
            out.line(&vision_line(&figure), &figure)?;
        }
        What::Picture { model, grid, question, runs } => {
            let [rows, columns] = sides(grid)?.map(|side| side * MERGE);
            let model = random(model, formats, on, None)?;
            let eye = bench::random_eye(model.config().hidden_size, bench::TOWER_BLOCKS, on)?;
            let figure = bench::picture(&model, &eye, Grid { rows, columns }, *question, *runs)?;
            out.line(&picture_line(&figure), &figure)?;
        }
        What::Choose { temperature, top_p, runs } => {
            let figure = bench::choose(*temperature, *top_p, *runs);
            out.line(&choose_line(&figure), &figure)?;
        }
        What::Grammar { model, tokenizer, runs } => {
            let figure = grammar::grammar(model, tokenizer.as_deref(), *runs)?;
            out.line(&grammar::line(&figure), &figure)?;
        }
        What::Drafts { model, asked } => {
            let figure = drafts::drafts(model, formats, asked).await?;
            out.line(&drafts::line(&figure), &figure)?;
        }
        What::Turns { model, asked } => {
            let decoder = served::decoder(model, formats, on, None, 0).await?;
            for figure in turns::turns(decoder, asked).await? {
                out.line(&turns::line(&figure), &figure)?;
            }
        }
        What::Train { model, rows, length, steps } => {
            let files = ModelSpec::parse(model).files()?;
            for what in [Trained::Everything, Trained::Adapter] {
                let figure = train::bench::train(&files, what, *rows, *length, *steps)?;
                out.line(&train_line(&figure), &figure)?;
            }
        }
        What::Tune { model, layers, length, no_checkpointing, steps } => {
            let config = random_config(model, *layers)?;
            let (length, steps, checkpointing) = (*length, *steps, !no_checkpointing);
            let how = Tuning { rank: RANK, length, steps, checkpointing };
            let figure = train::bench::tune(on, &config, how)?;
            out.line(&tune_line(&figure), &figure)?;
        }
        What::Stall { model, layers, prompt } => {
            let decoder = served::decoder(model, formats, on, *layers, 0).await?;
            let figure = stall::stall(decoder, *prompt).await?;
            out.line(&stall::line(&figure), &figure)?;
        }
        What::Serve { model, layers, people, questions, tokens, picture } => {
            for people in people {
                let decoder = served::decoder(model, formats, on, *layers, *picture).await?;
                let how = serve::Talk { questions: *questions, tokens: *tokens, picture: *picture };
                let figure = serve::serve(decoder, *people, how).await?;
                out.line(&serve::line(&figure), &figure)?;
            }
        }
    }
    Ok(())
}

fn language(model: &str, formats: Formats, on: Processor, layers: Option<usize>) -> anyhow::Result<Language> {
    if model.starts_with(RANDOM) {
        return random(model, formats, on, layers);
    }
    Ok(Loaded::open_on(on, &ModelSpec::parse(model).files()?, formats, &[])?.model.language)
}

fn random(model: &str, formats: Formats, on: Processor, layers: Option<usize>) -> anyhow::Result<Language> {
    let ModelConfig { text, tied, .. } = random_config(model, layers)?;
    Ok(bench::random(&text, tied, formats, on)?)
}

/// Tokens written after each turn's first.
fn after_the_first(turns: &[&Completion]) -> u32 {
    turns.iter().map(|turn| turn.generated_tokens.saturating_sub(1)).sum()
}

/// Mean time for each of these, in seconds.
fn token_seconds(turns: &[&Completion]) -> f64 {
    let seconds: f64 = turns.iter().map(|turn| turn.decoding.as_secs_f64()).sum();
    seconds / f64::from(after_the_first(turns).max(1))
}

/// The shape of a model with random weights.
fn random_config(model: &str, layers: Option<usize>) -> anyhow::Result<ModelConfig> {
    let config = model.strip_prefix(RANDOM).and_then(|size| bench::config(size, layers));
    config.with_context(|| format!("there is no shape {model}; write {RANDOM}3b or {RANDOM}7b"))
}

/// Rows and columns.
fn sides(grid: &[usize]) -> anyhow::Result<[usize; 2]> {
    grid.try_into().context("--grid takes rows and columns, as in 32,40")
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

fn decode_line(figure: &DecodeFigure) -> String {
    let DecodeFigure { batch, context, step_ms, tokens_per_second, read_limits, of_read_limit } = figure;
    let (share, limits) = (of_read_limit * 100.0, read_limits.map(|limit| limit / 1e9));
    format!(
        "{batch} at once after {context} tokens: {tokens_per_second:.1} tokens/s, {step_ms:.2} ms a step, {share:.0} % of what memory allows ({:.1} GB/s before, {:.1} after)",
        limits[0], limits[1]
    )
}

fn guesses_line(figure: &GuessFigure) -> String {
    let GuessFigure { guessed, drafting_ms, step_ms, tokens_per_second } = figure;
    let rates = tokens_per_second.iter().map(|(right, rate)| format!("{rate:.1} if {right} % are right"));
    format!(
        "{guessed} tokens guessed in {drafting_ms:.2} ms and tried in {step_ms:.2}: tokens/s {}",
        rates.collect::<Vec<_>>().join(", ")
    )
}

fn choose_line(figure: &ChooseFigure) -> String {
    let ChooseFigure { vocabulary, likeliest_us, drawn_us } = figure;
    format!(
        "one of {vocabulary} tokens: the likeliest after {likeliest_us:.0} us, a draw after {drawn_us:.0} us"
    )
}

fn vision_line(figure: &VisionFigure) -> String {
    let VisionFigure { tokens, blocks, look_ms } = figure;
    format!("a picture of {tokens} tokens through {blocks} blocks: {look_ms:.0} ms")
}

fn picture_line(figure: &PictureFigure) -> String {
    let PictureFigure { picture_tokens, question_tokens, picture_ms, first_token_ms } = figure;
    format!(
        "a picture of {picture_tokens} tokens and {question_tokens} of text: first token after {first_token_ms:.1} ms, {picture_ms:.1} of them for the picture"
    )
}

fn tune_line(figure: &TuneFigure) -> String {
    let TuneFigure { layers, length, trained, step_seconds, peak_bytes, expected, .. } = figure;
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30));
    let peak = peak_bytes.map_or_else(|| "unknown".to_owned(), gib);
    let (weights, activations) = (gib(expected.weights), gib(expected.activations));
    format!(
        "{layers} layers, {trained} numbers under training, {length} tokens: {step_seconds:.1} s a step, {peak} at most (expected: {weights} of weights, {activations} of a batch)"
    )
}

fn train_line(figure: &TrainFigure) -> String {
    let TrainFigure { rows, length, trained, step_ms, tokens_per_second } = figure;
    format!(
        "{trained} numbers under training, {rows} times {length} tokens: {tokens_per_second:.0} tokens/s, {step_ms:.0} ms a step"
    )
}

fn prefill_line(figure: &PrefillFigure) -> String {
    let PrefillFigure { tokens, step_ms, tokens_per_second } = figure;
    format!("a prompt of {tokens} tokens: {tokens_per_second:.0} tokens/s, {step_ms:.1} ms")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    #[test]
    fn nobody_who_asks_nothing_is_no_measurement() {
        let line = |name: &str, value: &str| Line::try_parse_from(["loupe", "serve", name, value]);
        for name in ["--people", "--questions"] {
            let error = line(name, "0").unwrap_err().to_string();
            assert!(error.contains("1.."), "{error}");
        }
        let What::Serve { people, questions, .. } = line("--people", "1,2").unwrap().args.what else {
            panic!("that is `serve`")
        };
        assert_eq!((people, questions), (vec![1, 2], 32));
    }
}
