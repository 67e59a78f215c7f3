//! A teacher: a model that answers questions with the real tools, turn by turn, as the agent runs it. What it does is kept
//! where all of it is fit to be learnt.
//!
//! - `recorder`: the conversation as the model read and wrote it.
//! - `host`: the searches of a run, and its crops.
//! - [`label`]: the category of a question.

mod host;
pub mod label;
mod recorder;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loupe_agent::dialect::{GIVE_UP, UnknownDialect, by_name};
use loupe_agent::{Agent, AgentConfig, Budgets, RunEnd};
use loupe_mllm::engine::{Decoder, Sampling};
use loupe_search::{ImageSearch, TextSearch};
use loupe_shared::protocol::RunError;
use tokio_util::sync::CancellationToken;

pub use self::host::Call;
use self::host::TeacherHost;
use self::recorder::Recorder;
use super::decisions::Decision;
use super::record::Record;
use crate::eval::judge::is_right;
use crate::eval::run::{asked, patient, pictures, seen_by};

/// Pause before a question is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// Why a row is dropped when the teacher itself failed.
pub const FAILED: &str = "teacher_failed";
/// Why a row is dropped when the teacher took too long.
pub const TIMEOUT: &str = "timeout";
/// Why a row is dropped when a search failed.
pub const TOOL_FAILED: &str = "tool_failed";
/// Why a row is dropped when the agent did not do what the teacher asked for.
const REFUSED: &str = "refused_turn";

/// How much a teacher may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Turns within which it has to answer; more than the agent has searches are of no use.
    pub max_turns: u32,
    /// How long a question may take.
    pub timeout: Duration,
    /// How often a question is asked again when the teacher or a tool fails.
    pub retries: u32,
}

/// A model with the real tools.
pub struct Teacher {
    decoder: Arc<dyn Decoder>,
    text: Arc<dyn TextSearch>,
    image: Arc<dyn ImageSearch>,
    limits: Limits,
}

/// Why a row is dropped, for the report and in more words.
struct Reason {
    name: &'static str,
    detail: String,
    /// Whether asking again may help.
    passing: bool,
}

impl From<Reason> for Decision {
    fn from(reason: Reason) -> Self {
        Self::Dropped { reason: reason.name.to_owned(), detail: reason.detail }
    }
}

fn lasting(name: &'static str, detail: impl Into<String>) -> Reason {
    Reason { name, detail: detail.into(), passing: false }
}

fn passing(name: &'static str, detail: impl Into<String>) -> Reason {
    Reason { name, detail: detail.into(), passing: true }
}

impl Teacher {
    /// A teacher that speaks the dialect that its decoder names.
    ///
    /// # Errors
    /// [`UnknownDialect`].
    pub fn new(
        decoder: Arc<dyn Decoder>,
        text: Arc<dyn TextSearch>,
        image: Arc<dyn ImageSearch>,
        limits: Limits,
    ) -> Result<Self, UnknownDialect> {
        by_name(&decoder.info().dialect)?;
        Ok(Self { decoder, text, image, limits })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.decoder.info().name
    }

    /// The dialect that it writes.
    #[must_use]
    pub fn dialect(&self) -> &str {
        &self.decoder.info().dialect
    }

    /// Turns within which it has to answer.
    #[must_use]
    pub fn max_turns(&self) -> u32 {
        self.limits.max_turns
    }

    /// Has a question answered and decides whether the conversation is kept; its picture lies in `folder`.
    pub async fn decide(&self, record: &Record, folder: &Path) -> Decision {
        let mut left = self.limits.retries;
        loop {
            let reason = match self.answer(record, folder).await {
                Ok(kept) => return kept,
                Err(reason) => reason,
            };
            if !reason.passing || left == 0 {
                return reason.into();
            }
            left -= 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn answer(&self, record: &Record, folder: &Path) -> Result<Decision, Reason> {
        let pictures = pictures(record, folder).map_err(|error| lasting("picture", error.to_string()))?;
        let query = asked(record, pictures);
        let info = self.decoder.info();
        let seen = seen_by(info, &query).map_err(|error| lasting("picture", error.to_string()))?;
        let unknown = |error: UnknownDialect| lasting(FAILED, error.to_string());
        let dialect = by_name(&info.dialect).map_err(unknown)?;
        let recorder = Arc::new(Recorder::new(Arc::clone(&self.decoder), dialect, seen));
        let (text, image) = (Arc::clone(&self.text), Arc::clone(&self.image));
        let agent = Agent::new(recorder.clone(), text, image, self.config()).map_err(unknown)?;
        let (host, cancel) = (TeacherHost::default(), CancellationToken::new());
        let run = tokio::time::timeout(self.limits.timeout, agent.run(query, &host, cancel)).await;
        let end =
            run.map_err(|_elapsed| passing(TIMEOUT, format!("no answer within {:?}", self.limits.timeout)))?;
        self.judge(record, end, &recorder, &host)
    }

    /// The agent's own budgets, so that nothing is learnt that the agent would refuse.
    fn config(&self) -> AgentConfig {
        // A server may count thoughts that are no part of the conversation.
        let budgets = Budgets { tool_calls: self.most_turns(), total_tokens: u32::MAX, ..patient() };
        AgentConfig { budgets, sampling: Sampling::Greedy }
    }

    /// Turns of a conversation that is kept. In a longer one the agent says that all searches are used.
    fn most_turns(&self) -> u32 {
        self.limits.max_turns.min(patient().tool_calls)
    }

    fn judge(
        &self,
        record: &Record,
        end: RunEnd,
        recorder: &Recorder,
        host: &TeacherHost,
    ) -> Result<Decision, Reason> {
        let (said, (calls, failed)) = (recorder.take(), host.take());
        // Whatever else went wrong after a search had failed may be for that.
        if let Some(message) = failed {
            return Err(passing(TOOL_FAILED, message));
        }
        if let Some(problem) = said.problem {
            return Err(lasting("invalid_turn", problem));
        }
        let answer = match end {
            RunEnd::Done(done) => done.answer,
            RunEnd::Failed(error) => return Err(failure(error)),
            RunEnd::Cancelled => return Err(passing(FAILED, "the run was cancelled")),
        };
        if said.turns > self.most_turns() {
            return Err(lasting("too_many_turns", format!("{} turns", said.turns)));
        }
        // Every turn but the last is a search that was made, or else one that the agent refused.
        if calls.len() + 1 != said.turns as usize || said.restarted {
            return Err(lasting(REFUSED, "a search was not allowed, or the conversation had to start over"));
        }
        if answer.trim() == GIVE_UP {
            return Err(lasting("gave_up", answer));
        }
        if !is_right(&answer, &record.answer, &record.aliases) {
            return Err(lasting("wrong_answer", answer));
        }
        Ok(Decision::Kept { messages: said.messages, calls, category: None })
    }
}

/// Why a run without an answer is dropped.
fn failure(error: RunError) -> Reason {
    match error.code.as_str() {
        "dialect_malformed" => lasting("invalid_turn", error.message),
        "context_exceeded" => lasting("too_long", error.message),
        "input_invalid" => lasting("not_taken", error.message),
        "budget_refused" => lasting(REFUSED, error.message),
        code if code.starts_with("budget_") || code == "no_answer" => {
            lasting("too_many_turns", error.message)
        }
        _ => passing(FAILED, error.message),
    }
}
