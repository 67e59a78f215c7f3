//! Runs of the agent, as sequences to learn from.

use std::path::Path;
use std::sync::Arc;

use loupe_agent::budget::Budgets;
use loupe_agent::host::Query;
use loupe_agent::{Agent, AgentConfig, RunEnd, dialect};
use loupe_mllm::chat::Chat;
use loupe_mllm::engine::{Decoder, Message, Part, Role, Sampling};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::reward::Outcome;
use super::witness::{Notes, Turn, Witness};
use crate::dataset::record::Record;
use crate::error::{Result, TrainError};
use crate::eval::llm::LlmJudge;
use crate::eval::run::{asked, judged, pictures, seen_by};
use crate::eval::tools::Tools;
use crate::learn::example::{self, Example};
use crate::learn::sequence::Sequence;

/// The name under which the policy's adapter is served.
pub const POLICY: &str = "policy";
/// Runs that are in flight: the engine decodes so many together.
const TOGETHER: usize = 32;

/// The agent with its tools.
#[derive(Clone)]
pub struct Player {
    /// The model, with the policy as its adapter [`POLICY`].
    pub decoder: Arc<dyn Decoder>,
    /// What is searched with, live or on record.
    pub tools: Tools,
    /// A model that judges answers instead of the rule.
    pub judge: Option<Arc<LlmJudge>>,
    /// What a run may spend.
    pub budgets: Budgets,
}

/// A run to be made.
pub struct Task {
    /// The question.
    pub row: Arc<Record>,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// A run of the agent.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// What was answered; none where the run failed.
    pub answer: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Searches.
    pub searches: u32,
    /// Tokens written.
    pub tokens: u32,
    /// Searches that a recording had no answer to.
    pub missed: usize,
    turns: Vec<Turn>,
}

impl Player {
    /// Makes runs, in the order of the tasks.
    ///
    /// # Errors
    /// When a question's picture cannot be read, the judge cannot be asked, a recording cannot be written, or the model
    /// speaks an unknown dialect. A run that fails is an outcome.
    pub async fn play(&self, tasks: Vec<Task>, folder: &Path) -> Result<Vec<Rollout>> {
        let places = Arc::new(Semaphore::new(TOGETHER));
        let mut running = JoinSet::new();
        let count = tasks.len();
        for (at, task) in tasks.into_iter().enumerate() {
            let (player, folder, places) = (self.clone(), folder.to_owned(), places.clone());
            running.spawn(async move {
                // The semaphore is never closed, so there always is a place in the end.
                let _place = places.acquire_owned().await;
                (at, player.one(&task, &folder).await)
            });
        }
        let mut rollouts: Vec<Option<Rollout>> = vec![None; count];
        while let Some(done) = running.join_next().await {
            let (at, rollout) = done.map_err(|error| TrainError::Rollout(error.to_string()))?;
            rollouts[at] = Some(rollout?);
        }
        Ok(rollouts.into_iter().flatten().collect())
    }

    async fn one(&self, task: &Task, folder: &Path) -> Result<Rollout> {
        let bad = |error: &dyn std::fmt::Display| TrainError::Rollout(error.to_string());
        let row = &task.row;
        let pictures = pictures(row, folder).map_err(|error| bad(&error))?;
        let query = Query { adapter: Some(POLICY.into()), ..asked(row, pictures) };
        let dialect = dialect::by_name(&self.decoder.info().dialect).map_err(|error| bad(&error))?;
        let context = seen_by(self.decoder.info(), &query).map_err(|error| bad(&error))?;
        let witness = Arc::new(Witness::new(self.decoder.clone(), dialect, context));
        let config = AgentConfig { budgets: self.budgets, sampling: task.sampling };
        let (tools, calls) = self.tools.for_question(&row.id, None);
        let tools = Arc::new(tools);
        let agent = Agent::new(witness.clone(), tools.clone(), tools, config);
        let agent = agent.map_err(|error| bad(&error))?;
        let answer = match agent.run(query, &*witness, CancellationToken::new()).await {
            RunEnd::Done(done) => Some(done.answer),
            RunEnd::Failed(_) | RunEnd::Cancelled => None,
        };
        if let Some(error) = calls.broken() {
            return Err(bad(&error));
        }
        let right = match &answer {
            Some(answer) => {
                judged(self.judge.as_deref(), row, answer).await.map_err(|error| bad(&error))?.counts()
            }
            None => false,
        };
        Ok(Rollout { missed: calls.missed().len(), ..Rollout::new(answer, right, witness.notes()) })
    }
}

impl Rollout {
    fn new(answer: Option<String>, right: bool, notes: Notes) -> Self {
        let Notes { turns, searches, .. } = notes;
        let valid = answer.is_some() && turns.iter().all(|turn| turn.valid);
        let outcome = Outcome { right, valid, searched: searches > 0 };
        let tokens = turns.iter().map(|turn| turn.tokens).sum();
        Self { answer, outcome, searches, tokens, missed: 0, turns }
    }

    /// What was written, for people.
    #[must_use]
    pub fn transcript(&self) -> Vec<String> {
        self.turns.iter().map(|turn| turn.wrote.clone()).collect()
    }

    /// What is learnt from: one sequence as long as the conversation only grew, a new one where it was kept otherwise
    /// than it was written. Only what the model wrote has a weight.
    ///
    /// # Errors
    /// When a conversation cannot be encoded.
    pub fn sequences(&self, chat: &Chat, mask_after_failure: bool) -> Result<Vec<Sequence>> {
        let mut conversations: Vec<Vec<Piece>> = Vec::new();
        for turn in &self.turns {
            let weight = if turn.after_failure && mask_after_failure { 0.0 } else { 1.0 };
            let wrote = Piece {
                message: Message::text(Role::Assistant, turn.wrote.clone()),
                weight,
                ended: turn.ended,
            };
            let told = |message: &Message| Piece { message: message.clone(), weight: 0.0, ended: false };
            match conversations.last_mut().filter(|known| grows(known, &turn.read)) {
                Some(known) => {
                    known.extend(turn.read[known.len()..].iter().map(told));
                    known.push(wrote);
                }
                None => {
                    conversations.push(turn.read.iter().map(told).chain([wrote]).collect());
                }
            }
        }
        conversations.into_iter().map(|conversation| encode(conversation, chat)).collect()
    }
}

/// A message of a conversation to learn from.
struct Piece {
    message: Message,
    weight: f32,
    /// Whether its end was generated, too.
    ended: bool,
}

/// Whether what is read begins with what is known.
fn grows(known: &[Piece], read: &[Message]) -> bool {
    known.len() <= read.len() && known.iter().zip(read).all(|(known, read)| same(&known.message, read))
}

fn same(a: &Message, b: &Message) -> bool {
    let part = |(a, b): (&Part, &Part)| match (a, b) {
        (Part::Text(a), Part::Text(b)) => a == b,
        (Part::Image(a), Part::Image(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => false,
    };
    a.role == b.role && a.parts.len() == b.parts.len() && a.parts.iter().zip(&b.parts).all(part)
}

fn encode(conversation: Vec<Piece>, chat: &Chat) -> Result<Sequence> {
    let ended: Vec<bool> = conversation.iter().map(|piece| piece.ended).collect();
    let turns = conversation
        .into_iter()
        .map(|Piece { message, weight, .. }| example::Turn::Message { message, weight })
        .collect();
    let mut sequence = Sequence::encode(&Example { kind: "rollout", turns, seen: Vec::new() }, chat)?;
    // Where decoding stopped at the dialect's closing tag, the template's end of the turn was not generated.
    let end = chat.tokenizer.id("<|im_end|>");
    let mut ended = ended.into_iter();
    for (id, weight) in sequence.ids.iter().zip(&mut sequence.weights) {
        if Some(*id) == end && !ended.next().unwrap_or_default() {
            *weight = 0.0;
        }
    }
    Ok(sequence)
}
