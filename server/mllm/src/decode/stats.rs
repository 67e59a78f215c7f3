//! What the engine tells of itself, through the `metrics` facade: nothing is computed where nobody listens.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::blocks::Blocks;
use crate::engine::{Completion, EngineError, Finish};

const FIRST_TOKEN: &str = "loupe_engine_first_token_seconds";
const INTERVAL: &str = "loupe_engine_token_interval_seconds";
const STEP: &str = "loupe_engine_step_seconds";
const SEQUENCES: &str = "loupe_engine_step_sequences";
const TOKENS: &str = "loupe_engine_step_tokens";
const PROMPT: &str = "loupe_engine_prompt_tokens_total";
const REUSED: &str = "loupe_engine_reused_tokens_total";
const GENERATED: &str = "loupe_engine_generated_tokens_total";
const DRAFTED: &str = "loupe_engine_drafted_tokens_total";
const ACCEPTED: &str = "loupe_engine_accepted_tokens_total";
const TURNS: &str = "loupe_engine_turns_total";
const PICTURES: &str = "loupe_engine_pictures_total";
const WAITING: &str = "loupe_engine_waiting_turns";
const RUNNING: &str = "loupe_engine_running_turns";
const BLOCKS: &str = "loupe_engine_kv_blocks";
const PANICS: &str = "loupe_engine_panics_total";

/// The end of a turn that nobody waits for any more.
const CANCELLED: &str = "cancelled";

/// Says what each figure means. Called once the program's recorder is there.
pub fn describe() {
    describe_histogram!(FIRST_TOKEN, Unit::Seconds, "From a turn's request to its first token");
    describe_histogram!(INTERVAL, Unit::Seconds, "Between two tokens of a turn");
    describe_histogram!(STEP, Unit::Seconds, "Time of a step");
    describe_histogram!(SEQUENCES, "Turns that took part in a step");
    describe_histogram!(TOKENS, "Tokens of a step");
    describe_counter!(PROMPT, "Tokens of prompts");
    describe_counter!(REUSED, "Tokens of prompts whose keys and values were in the cache");
    describe_counter!(GENERATED, "Tokens written");
    describe_counter!(DRAFTED, "Tokens guessed from what was read, or by the drafter");
    describe_counter!(ACCEPTED, "Guessed tokens that the model would have written itself");
    describe_counter!(TURNS, "Turns that ended, by how");
    describe_counter!(PICTURES, "Pictures wanted, by whether their embedding was in the cache");
    describe_gauge!(WAITING, "Turns that wait for a place");
    describe_gauge!(RUNNING, "Turns that are being decoded");
    describe_gauge!(BLOCKS, "Blocks of keys and values, by what they are for");
    describe_counter!(PANICS, "Times that the decoder broke off and was started anew");
}

pub(super) fn stepped(sequences: usize, tokens: usize, time: Duration) {
    histogram!(STEP).record(time.as_secs_f64());
    histogram!(SEQUENCES).record(sequences as f64);
    histogram!(TOKENS).record(tokens as f64);
}

/// Notes how long a turn's first token took.
pub fn first_token(after: Duration) {
    histogram!(FIRST_TOKEN).record(after.as_secs_f64());
}

/// Notes how long a turn's next token took.
pub fn next_token(after: Duration) {
    histogram!(INTERVAL).record(after.as_secs_f64());
}

pub(super) fn drafted(from_prompt: bool, tokens: usize, accepted: usize) {
    let by = if from_prompt { "prompt" } else { "drafter" };
    counter!(DRAFTED, "by" => by).increment(tokens as u64);
    counter!(ACCEPTED, "by" => by).increment(accepted as u64);
}

pub(super) fn picture(known: bool) {
    counter!(PICTURES, "cache" => if known { "hit" } else { "miss" }).increment(1);
}

/// A turn that another server decodes, until it ends. Where whoever waits for it goes away, that is its end.
#[derive(Debug)]
pub struct Turn {
    is_counted: bool,
}

impl Turn {
    /// A turn that begins.
    #[must_use]
    pub fn begin() -> Self {
        Self { is_counted: false }
    }

    /// Notes how it ended.
    pub fn end(mut self, ended: &Result<Completion, EngineError>) {
        self.is_counted = true;
        turn(ended);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_counted {
            counter!(TURNS, "end" => CANCELLED).increment(1);
        }
    }
}

/// Notes how a turn ended.
pub(super) fn turn(ended: &Result<Completion, EngineError>) {
    let how = match ended {
        Ok(completion) => {
            counter!(PROMPT).increment(completion.prompt_tokens.into());
            counter!(REUSED).increment(completion.reused_tokens.into());
            counter!(GENERATED).increment(completion.generated_tokens.into());
            match completion.finish {
                Finish::EndOfTurn => "end",
                Finish::Stop => "stop",
                Finish::Length => "length",
                Finish::Cancelled => CANCELLED,
            }
        }
        Err(error) => error.code(),
    };
    counter!(TURNS, "end" => how).increment(1);
}

pub(super) fn load(waiting: usize, running: usize, blocks: &Blocks) {
    gauge!(WAITING).set(waiting as f64);
    gauge!(RUNNING).set(running as f64);
    let available = blocks.available();
    gauge!(BLOCKS, "state" => "used").set((blocks.count() - available) as f64);
    gauge!(BLOCKS, "state" => "known").set(blocks.idle() as f64);
    gauge!(BLOCKS, "state" => "free").set((available - blocks.idle()) as f64);
}

pub(super) fn panicked() {
    counter!(PANICS).increment(1);
}
