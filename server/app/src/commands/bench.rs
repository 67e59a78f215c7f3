//! `loupe bench`

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Subcommand;
use futures::StreamExt;
use loupe_mllm::bench::{self, DecodeFigure, PrefillFigure};
use loupe_mllm::engine::{Completion, Decoder, GenerateRequest, Message, Role, Sampling};
use loupe_mllm::lm::LanguageModel;
use loupe_mllm::{Loaded, WeightFormat};
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use crate::logging;
use crate::model::{ModelSpec, weight_format};

/// The random model that can be measured instead of a checkpoint.
const RANDOM_3B: &str = "random:3b";

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
        /// Tokens of the prompt
        #[arg(long, value_delimiter = ',', default_value = "128,512")]
        tokens: Vec<usize>,
        /// Runs; the median counts
        #[arg(long, default_value_t = 5)]
        runs: usize,
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

/// What several people at once find.
#[derive(Debug, Serialize)]
struct ServeFigure {
    people: usize,
    turns: usize,
    /// Tokens written per second, all together.
    tokens_per_second: f64,
    /// Median and slowest of ten, in milliseconds.
    first_turn_ms: [f64; 2],
    third_turn_ms: [f64; 2],
    /// Part of all prompt tokens that was not computed again.
    reused: f64,
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
            let model = language(model, format)?;
            let limit = bench::read_limit();
            out.line(&limit_line(limit), &serde_json::json!({ "read_limit_bytes_per_second": limit }))?;
            for batch in batch {
                let figure = bench::decode(&model, *batch, *context, *steps, limit)?;
                out.line(&decode_line(&figure), &figure)?;
            }
        }
        What::Prefill { model, tokens, runs } => {
            let model = language(model, format)?;
            for tokens in tokens {
                let figure = bench::prefill(&model, *tokens, *runs)?;
                out.line(&prefill_line(&figure), &figure)?;
            }
        }
        What::Serve { model, people, questions, tokens } => {
            for people in people {
                let decoder = ModelSpec::parse(model).open(format).await?;
                let figure = serve(decoder, *people, *questions, *tokens).await?;
                out.line(&serve_line(&figure), &figure)?;
            }
        }
    }
    Ok(())
}

fn language(model: &str, format: WeightFormat) -> anyhow::Result<LanguageModel> {
    if model == RANDOM_3B {
        return Ok(bench::shape_3b(format)?);
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

fn prefill_line(figure: &PrefillFigure) -> String {
    let PrefillFigure { tokens, step_ms, tokens_per_second } = figure;
    format!("a prompt of {tokens} tokens: {tokens_per_second:.0} tokens/s, {step_ms:.1} ms")
}

fn serve_line(figure: &ServeFigure) -> String {
    let ServeFigure { people, turns, tokens_per_second, first_turn_ms, third_turn_ms, reused } = figure;
    format!(
        "{people} people, {turns} turns: {tokens_per_second:.0} tokens/s; first token after {:.0} ms (slowest tenth {:.0}), in the third turn {:.0} ms ({:.0}); {:.0} % of prompts reused",
        first_turn_ms[0],
        first_turn_ms[1],
        third_turn_ms[0],
        third_turn_ms[1],
        reused * 100.0
    )
}

/// Conversations of three turns, `people` of them at a time.
async fn serve(
    decoder: Arc<dyn Decoder>,
    people: usize,
    questions: usize,
    tokens: u32,
) -> anyhow::Result<ServeFigure> {
    let started = Instant::now();
    let conversations = futures::stream::iter(0..questions)
        .map(|number| conversation(decoder.clone(), number, tokens))
        .buffer_unordered(people)
        .collect::<Vec<_>>()
        .await;
    let seconds = started.elapsed().as_secs_f64();
    let conversations = conversations.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let turns: Vec<&Completion> = conversations.iter().flatten().collect();
    let sum = |f: fn(&Completion) -> u32| turns.iter().map(|turn| f64::from(f(turn))).sum::<f64>();
    let wait = |turn: usize| spread(conversations.iter().map(|turns| turns[turn].first_token).collect());
    Ok(ServeFigure {
        people,
        turns: turns.len(),
        tokens_per_second: sum(|turn| turn.generated_tokens) / seconds,
        first_turn_ms: wait(0),
        third_turn_ms: wait(2),
        reused: sum(|turn| turn.reused_tokens) / sum(|turn| turn.prompt_tokens).max(1.0),
    })
}

async fn conversation(
    decoder: Arc<dyn Decoder>,
    number: usize,
    tokens: u32,
) -> anyhow::Result<[Completion; 3]> {
    let filler = "Neighbours, languages, currency and region of a country whose flag is in the picture. ";
    let mut messages = vec![Message::text(Role::User, format!("Question {number}: {}", filler.repeat(8)))];
    let mut turns = Vec::with_capacity(3);
    for _ in 0..3 {
        let request = GenerateRequest {
            messages: messages.clone(),
            sampling: Sampling::Greedy,
            max_tokens: tokens,
            stop: Vec::new(),
            cancel: CancellationToken::new(),
        };
        let turn = decoder.generate(request, unbounded_channel().0).await?;
        messages.push(Message::text(Role::Assistant, turn.text.clone()));
        messages.push(Message::text(Role::User, format!("And after that? {}", filler.repeat(2))));
        turns.push(turn);
    }
    turns.try_into().ok().context("a conversation has three turns")
}

/// The median and the slowest tenth, in milliseconds.
fn spread(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort();
    let at = |part: usize| {
        times
            .get((times.len() * part / 10).min(times.len().saturating_sub(1)))
            .map_or(0.0, Duration::as_secs_f64)
    };
    [at(5) * 1e3, at(9) * 1e3]
}
