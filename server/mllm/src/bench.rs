//! What the engine does per second, and what the machine's memory would allow: both are measured in the same run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use half::bf16;
use rayon::prelude::*;
use serde::Serialize;

use crate::config::vision::{MERGE, PATCH_VALUES};
use crate::config::{ModelConfig, TextConfig, VisionConfig, VisionTokens};
pub use crate::decode::DEEPEST;
use crate::decode::MOST;
use crate::device::{Eye, Language, Processor};
use crate::engine::EngineError;
use crate::error::Result;
use crate::grammar::{Grammar, Grammars};
use crate::lm::{BLOCK, Batch, BlockId, Choice, Draw, Executor, Input, Matrix, Segment, Wanted, What};
use crate::model::Grid;
use crate::ops::large_pages;
use crate::tokenizer::Tokenizer;
use crate::weights::{Formats, Weights};

/// Bytes that are read to find how fast memory is: more than any cache holds.
const READ_BYTES: usize = 1 << 30;
/// How often; the fastest counts.
const READS: usize = 5;
/// Of a hundred guesses, how many may be right.
const SHARES_RIGHT: [u32; 4] = [70, 80, 90, 100];
/// Blocks of Qwen2.5-VL's vision tower.
pub const TOWER_BLOCKS: usize = 32;

/// Steps of a batch of sequences that each write a token.
#[derive(Debug, Clone, Serialize)]
pub struct DecodeFigure {
    /// Sequences.
    pub batch: usize,
    /// Tokens that each had before the first step.
    pub context: usize,
    /// Median time of a step, in milliseconds.
    pub step_ms: f64,
    /// Tokens of all sequences per second.
    pub tokens_per_second: f64,
    /// What memory allows right before and right after, in bytes per second: neighbours of a virtual machine change it.
    pub read_limits: [f64; 2],
    /// Bytes of weights that a step reads over its time, as a part of the mean of both.
    pub of_read_limit: f64,
}

/// A prompt run in one step.
#[derive(Debug, Clone, Serialize)]
pub struct PrefillFigure {
    /// Its tokens.
    pub tokens: usize,
    /// Median time, in milliseconds.
    pub step_ms: f64,
    /// Tokens per second.
    pub tokens_per_second: f64,
}

/// A picture and a question, up to the first token of the answer.
#[derive(Debug, Clone, Serialize)]
pub struct PictureFigure {
    /// Tokens of the picture.
    pub picture_tokens: usize,
    /// Tokens of the question.
    pub question_tokens: usize,
    /// Median time of the vision tower, in milliseconds.
    pub picture_ms: f64,
    /// Median time up to the first token, that of the tower included.
    pub first_token_ms: f64,
}

/// Bytes per second that a processor reads from its memory: all threads together, or the GPU.
///
/// # Errors
/// When the processor cannot be used.
fn read_limit(on: Processor) -> Result<f64> {
    match on {
        Processor::Cpu => Ok(cpu_read_limit()),
        #[cfg(feature = "cuda")]
        Processor::Cuda(number) => crate::cuda::driver::Driver::open(number)?.read_limit(),
        #[cfg(not(feature = "cuda"))]
        Processor::Cuda(_) => Err(crate::device::without_cuda()),
    }
}

fn cpu_read_limit() -> f64 {
    let mut data = large_pages::with_room(READ_BYTES / size_of::<u64>());
    data.resize(READ_BYTES / size_of::<u64>(), 1u64);
    let part = data.len().div_ceil(8 * rayon::current_num_threads());
    let seconds = (0..READS).map(|_| {
        let started = Instant::now();
        let sum: u64 = data.par_chunks(part).map(|part| part.iter().fold(0, |sum, n| sum ^ n)).sum();
        std::hint::black_box(sum);
        started.elapsed().as_secs_f64()
    });
    READ_BYTES as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// Measures `steps` steps of `batch` sequences of `context` tokens, and what the memory of the processor that has the
/// model allows.
///
/// # Errors
/// When the model refuses the batch, or the processor cannot be used.
pub fn decode(
    model: &Language,
    on: Processor,
    batch: usize,
    context: usize,
    steps: usize,
) -> Result<DecodeFigure> {
    let before = read_limit(on)?;
    let blocks = (context + steps).div_ceil(BLOCK);
    let mut executor = model.executor(blocks * batch);
    let mut times = Vec::with_capacity(steps);
    for step in 0..steps {
        let segments = (0..batch).map(|n| Segment {
            tokens: 1,
            before: context + step,
            blocks: (n * blocks..(n + 1) * blocks).map(|block| BlockId::new(block as u32)).collect(),
            adapter: None,
        });
        let batch = random_batch(model.config(), segments.collect());
        times.push(timed(&mut *executor, &batch)?);
    }
    let step = median(times);
    let read_limits = [before, read_limit(on)?];
    let allowed = read_limits.iter().sum::<f64>() / 2.0;
    Ok(DecodeFigure {
        batch,
        context,
        step_ms: step.as_secs_f64() * 1e3,
        tokens_per_second: batch as f64 / step.as_secs_f64(),
        read_limits,
        of_read_limit: model.step_bytes() as f64 / step.as_secs_f64() / allowed,
    })
}

/// Tokens of one sequence that a drafter guesses and the model tries, at a time.
#[derive(Debug, Clone, Serialize)]
pub struct GuessFigure {
    /// How many are guessed.
    pub guessed: usize,
    /// Median time of the drafter's steps together, in milliseconds.
    pub drafting_ms: f64,
    /// Median time of the step that tries them, in milliseconds.
    pub step_ms: f64,
    /// Tokens per second, by how many of a hundred guesses are right where all before them are.
    pub tokens_per_second: BTreeMap<u32, f64>,
}

/// Measures what it costs to guess so many tokens after `context`, `steps` times. Without a drafter nothing can be guessed.
///
/// # Errors
/// When the model refuses the batch.
pub fn guesses(model: &Language, guessed: usize, context: usize, steps: usize) -> Result<GuessFigure> {
    let blocks: Vec<_> = (0..(context + 1 + guessed).div_ceil(BLOCK) as u32).map(BlockId::new).collect();
    let mut executor = model.executor(blocks.len());
    let batch = |tokens, before| {
        let segment = Segment { tokens, before, blocks: blocks.clone(), adapter: None };
        let mut batch = random_batch(model.config(), vec![segment]);
        let all = (0..tokens).map(|token| Wanted { token, what: What::Token(Choice::default()) });
        batch.wanted = all.collect();
        batch
    };
    let (mut drafting, mut trying) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let started = Instant::now();
        for ahead in 0..guessed {
            std::hint::black_box(executor.draft(&batch(1, context + ahead))?);
        }
        drafting.push(started.elapsed());
        trying.push(timed(&mut *executor, &batch(1 + guessed, context))?);
    }
    let [drafting, step] = [drafting, trying].map(|times| median(times).as_secs_f64());
    let rate = |right: u32| {
        let tokens: f64 = (0..=guessed as i32).map(|ahead| (f64::from(right) / 100.0).powi(ahead)).sum();
        tokens / (drafting + step)
    };
    let tokens_per_second = SHARES_RIGHT.map(|right| (right, rate(right))).into();
    Ok(GuessFigure { guessed, drafting_ms: drafting * 1e3, step_ms: step * 1e3, tokens_per_second })
}

/// Measures a prompt of `tokens`, `runs` times.
///
/// # Errors
/// When the model refuses it.
pub fn prefill(model: &Language, tokens: usize, runs: usize) -> Result<PrefillFigure> {
    let blocks = tokens.div_ceil(BLOCK);
    let mut executor = model.executor(blocks);
    let blocks = (0..blocks as u32).map(BlockId::new).collect();
    let batch = random_batch(model.config(), vec![Segment { tokens, before: 0, blocks, adapter: None }]);
    let times: Result<Vec<Duration>> = (0..runs).map(|_| timed(&mut *executor, &batch)).collect();
    let step = median(times?).as_secs_f64();
    Ok(PrefillFigure { tokens, step_ms: step * 1e3, tokens_per_second: tokens as f64 / step })
}

/// Holding a turn to a grammar.
#[derive(Debug, Clone, Serialize)]
pub struct GrammarFigure {
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Tokens of the turn.
    pub tokens: usize,
    /// Mean time that a token takes longer, in microseconds.
    pub token_us: f64,
    /// The slowest token, in microseconds.
    pub slowest_us: f64,
}

/// Measures what a turn's tokens cost more where they are held to `grammar`; `text` is a turn that it allows.
///
/// # Errors
/// When the grammar cannot be read or does not allow the text.
pub fn grammar(
    tokenizer: &Tokenizer,
    end_ids: &[u32],
    grammar: &Grammar,
    text: &str,
    runs: usize,
) -> Result<GrammarFigure, EngineError> {
    let grammars = Grammars::new(tokenizer, end_ids)?;
    let ids = tokenizer.encode(text)?.get_ids().to_vec();
    let mut times = Vec::with_capacity(runs * ids.len());
    for _ in 0..runs {
        let mut mask = grammars.mask(grammar)?;
        for id in &ids {
            let started = Instant::now();
            let allowed = mask.allowed()?;
            let may = allowed.has(*id);
            mask.push(*id)?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            if !may {
                return Err(EngineError::Internal(format!(
                    "the grammar does not allow token {id} of the turn"
                )));
            }
        }
    }
    Ok(GrammarFigure {
        vocabulary: tokenizer.inner().get_vocab_size(true),
        tokens: ids.len(),
        token_us: times.iter().sum::<f64>() / times.len().max(1) as f64,
        slowest_us: times.into_iter().fold(0.0, f64::max),
    })
}

/// Choosing a token from scores.
#[derive(Debug, Clone, Serialize)]
pub struct ChooseFigure {
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Median time to find the likeliest, in microseconds.
    pub likeliest_us: f64,
    /// Median time of a draw, in microseconds.
    pub drawn_us: f64,
}

/// Measures on this machine's processor how long it takes to choose among as many tokens as Qwen2.5-VL has, from scores
/// that lie around 0 like a bell. A GPU does this within a step.
#[must_use]
pub fn choose(temperature: f32, top_p: f32, runs: usize) -> ChooseFigure {
    const DICE: usize = 12;
    const SPREAD: f32 = 3.0;
    let vocabulary = 151_936;
    let dice = noise(DICE * vocabulary, SPREAD);
    let scores: Vec<f32> = dice.chunks_exact(DICE).map(|dice| dice.iter().sum()).collect();
    let time = |choice: &dyn Fn(usize) -> Choice| {
        let times = (0..runs).map(|run| {
            let (choice, started) = (choice(run), Instant::now());
            std::hint::black_box(choice.of(&scores));
            started.elapsed()
        });
        median(times.collect()).as_secs_f64() * 1e6
    };
    let uniform = |run| run as f32 / runs as f32;
    let draw = |run| Draw { temperature, top_p, uniform: uniform(run) };
    ChooseFigure {
        vocabulary,
        likeliest_us: time(&|_| Choice::default()),
        drawn_us: time(&|run| Choice { among: None, draw: Some(draw(run)) }),
    }
}

/// Measures a picture of `grid` with a question, as the engine runs them: the tower, then the prompt in its parts. The
/// picture's pixels are ready.
///
/// # Errors
/// When the model refuses it.
pub fn picture(
    model: &Language,
    eye: &Eye,
    grid: Grid,
    question: usize,
    runs: usize,
) -> Result<PictureFigure> {
    let (config, tokens) = (model.config(), grid.tokens() + question);
    let pixels = noise(grid.patches() * PATCH_VALUES, 1.0);
    let pixels = Tensor::from_vec(pixels, (grid.patches(), PATCH_VALUES), &candle_core::Device::Cpu)?;
    let blocks: Vec<BlockId> = (0..tokens.div_ceil(BLOCK) as u32).map(BlockId::new).collect();
    let mut executor = model.executor(blocks.len());
    let (mut seeing, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let started = Instant::now();
        let seen = eye.see(&pixels, &[grid])?;
        seeing.push(started.elapsed());
        for before in (0..tokens).step_by(MOST) {
            let tokens = MOST.min(tokens - before);
            let segment = Segment { tokens, before, blocks: blocks.clone(), adapter: None };
            let mut batch = random_batch(config, vec![segment]);
            let given = before.min(grid.tokens())..(before + tokens).min(grid.tokens());
            batch.inputs[..given.len()].fill(Input::Embedding);
            batch.embeds = seen[given.start * config.hidden_size..given.end * config.hidden_size].to_vec();
            std::hint::black_box(executor.step(&batch)?);
        }
        whole.push(started.elapsed());
    }
    Ok(PictureFigure {
        picture_tokens: grid.tokens(),
        question_tokens: question,
        picture_ms: median(seeing).as_secs_f64() * 1e3,
        first_token_ms: median(whole).as_secs_f64() * 1e3,
    })
}

fn timed(executor: &mut dyn Executor, batch: &Batch) -> Result<Duration> {
    let started = Instant::now();
    std::hint::black_box(executor.step(batch)?);
    Ok(started.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Any tokens at the right places, each segment's last one scored.
fn random_batch(config: &TextConfig, segments: Vec<Segment>) -> Batch {
    let mut batch = Batch::default();
    for segment in segments {
        batch.positions.extend((segment.before..segment.total()).map(|place| [place as u32; 3]));
        batch.wanted.push(Wanted { token: batch.positions.len() - 1, what: What::Token(Choice::default()) });
        batch.segments.push(segment);
    }
    let id = |at: usize| (at as u32).wrapping_mul(2_654_435_761) % config.vocab_size as u32;
    batch.inputs = (0..batch.len()).map(|at| Input::Token(id(at))).collect();
    batch
}

/// Numbers around 0.
fn noise(count: usize, size: f32) -> Vec<f32> {
    let number = |i: usize| {
        let bits = (i as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(0x85eb_ca6b);
        (bits >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).into_par_iter().map(|i| number(i) * size).collect()
}

/// Numbers around 0 like a bell of that standard deviation, as trained weights lie: how many are small decides in how few
/// bytes they are kept.
fn bell(count: usize, deviation: f32) -> Vec<bf16> {
    const BITS: u32 = 21;
    // Three numbers between 0 and 1, of which each has a variance of a twelfth.
    let scale = 2.0 * deviation / (1u64 << BITS) as f32;
    let number = |i: usize| {
        // The last step of SplitMix64.
        let mut bits = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let sum: u64 = (0..3).map(|nth| bits >> (nth * BITS) & ((1 << BITS) - 1)).sum();
        bf16::from_f32((sum as f32 - 1.5 * (1u64 << BITS) as f32) * scale)
    };
    (0..count).into_par_iter().map(number).collect()
}

/// Weights of no meaning for any shape: what is measured depends on how they are spread, not on what they are.
#[derive(Debug, Clone, Copy)]
pub struct RandomWeights;

impl Weights for RandomWeights {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let values = match shape.len() {
            1 if name.ends_with("norm.weight") => vec![1.0; shape.iter().product()],
            _ => noise(shape.iter().product(), 0.04),
        };
        Ok(Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?)
    }

    fn matrix(&self, _name: &str, shape: [usize; 2]) -> Result<Matrix> {
        Ok(Matrix::bf16(bell(shape[0] * shape[1], 0.02), shape)?)
    }
}

/// A picture seen by a vision tower.
#[derive(Debug, Clone, Serialize)]
pub struct VisionFigure {
    /// Tokens that the language model sees of it.
    pub tokens: usize,
    /// Blocks of the tower.
    pub blocks: usize,
    /// Median time, in milliseconds.
    pub look_ms: f64,
}

/// Measures a tower of so many blocks on a picture of `rows` and `columns` merged cells, `runs` times.
///
/// # Errors
/// When the tower refuses it.
pub fn vision(eye: &Eye, blocks: usize, [rows, columns]: [usize; 2], runs: usize) -> Result<VisionFigure> {
    let grid = Grid { rows: rows * MERGE, columns: columns * MERGE };
    let shape = (grid.patches(), PATCH_VALUES);
    let patches = Tensor::from_vec(noise(shape.0 * shape.1, 2.0), shape, &candle_core::Device::Cpu)?;
    let look = |_| {
        let started = Instant::now();
        std::hint::black_box(eye.see(&patches, &[grid])?);
        Ok(started.elapsed())
    };
    let times: Result<Vec<Duration>> = (0..runs).map(look).collect();
    let look_ms = median(times?).as_secs_f64() * 1e3;
    Ok(VisionFigure { tokens: grid.tokens(), blocks, look_ms })
}

/// The shape of Qwen2.5-VL's language model in that size, `3b` or `7b`, and whether its output is the embedding table.
fn shape(size: &str) -> Option<(TextConfig, bool)> {
    let small = TextConfig {
        vocab_size: 151_936,
        hidden_size: 2048,
        intermediate_size: 11_008,
        layers: 36,
        heads: 16,
        kv_heads: 2,
        rms_norm_eps: 1e-6,
        rope_theta: 1e6,
        mrope_section: vec![16, 24, 24],
        max_positions: 128_000,
    };
    match size {
        "3b" => Some((small, true)),
        "7b" => {
            let (vocab_size, hidden_size, intermediate_size) = (152_064, 3584, 18_944);
            let (layers, heads, kv_heads) = (28, 28, 4);
            let large =
                TextConfig { vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, ..small };
            Some((large, false))
        }
        _ => None,
    }
}

/// The vision tower of Qwen2.5-VL with random weights, of which the first `blocks` blocks, for a language model of some
/// width.
///
/// # Errors
/// When memory does not suffice or the processor cannot be used.
pub fn random_eye(hidden: usize, blocks: usize, on: Processor) -> Result<Eye> {
    Eye::load(on, &tower(hidden, blocks), &RandomWeights)
}

/// The shape of Qwen2.5-VL's vision tower with so many blocks, for a language model of some width.
fn tower(hidden: usize, blocks: usize) -> VisionConfig {
    VisionConfig {
        depth: blocks,
        hidden_size: 1280,
        intermediate_size: 3420,
        heads: 16,
        window_size: 112,
        full_attention_blocks: vec![7, 15, 23, 31],
        out_hidden_size: hidden,
        rope_theta: 1e4,
    }
}

/// The shape of a whole Qwen2.5-VL of that size, `3b` or `7b`, with so many layers of its language model, or all.
#[must_use]
pub fn config(size: &str, layers: Option<usize>) -> Option<ModelConfig> {
    let (mut text, tied) = shape(size)?;
    text.layers = layers.unwrap_or(text.layers);
    let vision = tower(text.hidden_size, TOWER_BLOCKS);
    let tokens = VisionTokens { image: 151_655, video: 151_656, start: 151_652, end: 151_653 };
    Some(ModelConfig { text, vision, tied, tokens })
}

/// A language model of that shape with random weights in these formats; stored are bf16.
///
/// # Errors
/// When memory does not suffice or the processor cannot be used.
pub fn random(shape: &TextConfig, tied: bool, formats: Formats, on: Processor) -> Result<Language> {
    Language::load(on, shape, tied, &RandomWeights, formats)
}
