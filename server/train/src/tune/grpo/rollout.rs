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
/// What sequences of rollouts are called in logs.
const KIND: &str = "rollout";
/// The template's end of a turn.
const END: &str = "<|im_end|>";

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
    /// Whether a run's boxes are turns like the others: drawn as they are, noted and learnt from. Else they are greedy.
    pub boxes: bool,
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
        let boxes = self.boxes.then_some(task.sampling);
        let witness = Arc::new(Witness::new(self.decoder.clone(), dialect, context, boxes));
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
    /// than it was written, and one for each box that was asked for. Only what the model wrote has a weight. A turn that
    /// was sampled in other tokens than the tokenizer cuts it into has a sequence of its own: those tokens are what the
    /// policy chose, and the usual ones are what it read later.
    ///
    /// # Errors
    /// When a conversation cannot be encoded.
    pub fn sequences(&self, chat: &Chat, mask_after_failure: bool) -> Result<Vec<Sequence>> {
        let mut conversations: Vec<Vec<Piece>> = Vec::new();
        let mut sampled = Vec::new();
        for turn in self.turns.iter().filter(|turn| !(turn.after_failure && mask_after_failure)) {
            let weight = if is_cut_otherwise(turn, chat)? {
                sampled.push(reply(turn, chat)?);
                0.0
            } else {
                1.0
            };
            let wrote = Piece {
                message: Message::text(Role::Assistant, turn.wrote.clone()),
                weight,
                ended: turn.ended,
            };
            let told = |message: &Message| Piece { message: message.clone(), weight: 0.0, ended: false };
            match conversations.iter_mut().rfind(|known| grows(known, &turn.read)) {
                Some(known) => {
                    known.extend(turn.read[known.len()..].iter().map(told));
                    known.push(wrote);
                }
                None => {
                    conversations.push(turn.read.iter().map(told).chain([wrote]).collect());
                }
            }
        }
        let learnt = |conversation: &Vec<Piece>| conversation.iter().any(|piece| piece.weight > 0.0);
        let conversations = conversations.into_iter().filter(learnt);
        conversations
            .map(|conversation| encode(conversation, chat))
            .chain(sampled.into_iter().map(Ok))
            .collect()
    }
}

/// Whether the tokenizer would cut what was written into other tokens than those that were sampled. A picture's token among
/// them would want a picture; such a turn is learnt as its text.
fn is_cut_otherwise(turn: &Turn, chat: &Chat) -> Result<bool> {
    if turn.ids.is_empty() || turn.ids.contains(&chat.image_token) {
        return Ok(false);
    }
    let usual = chat.tokenizer.encode(&chat.tokenizer.plain(&turn.wrote))?;
    Ok(usual.get_ids() != turn.ids)
}

/// A turn in the tokens that were sampled.
fn reply(turn: &Turn, chat: &Chat) -> Result<Sequence> {
    let told =
        turn.read.iter().map(|message| example::Turn::Message { message: message.clone(), weight: 0.0 });
    let end = chat.tokenizer.id(END).filter(|_| turn.ended);
    let ids = turn.ids.iter().copied().chain(end).collect();
    let turns = told.chain([example::Turn::Reply { ids, weight: 1.0 }]).collect();
    Ok(Sequence::encode(&Example { kind: KIND, turns, seen: Vec::new() }, chat)?)
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
    let written = conversation.iter().filter(|piece| piece.message.role == Role::Assistant);
    let ended: Vec<bool> = written.map(|piece| piece.ended).collect();
    let turns = conversation
        .into_iter()
        .map(|Piece { message, weight, .. }| example::Turn::Message { message, weight })
        .collect();
    let mut sequence = Sequence::encode(&Example { kind: KIND, turns, seen: Vec::new() }, chat)?;
    // Where decoding stopped at the dialect's closing tag, the template's end of the turn was not generated.
    let end = chat.tokenizer.id(END);
    let Sequence { ids, weights, turns, .. } = &mut sequence;
    for ((id, weight), turn) in ids.iter().zip(weights).zip(turns) {
        let Some(turn) = turn.checked_sub(1) else { continue };
        if Some(*id) == end && !ended[usize::from(turn)] {
            *weight = 0.0;
        }
    }
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use loupe_mllm::Processor;
    use loupe_mllm::checkpoint::Files;

    use super::*;
    use crate::learn::optim::AdamWConfig;
    use crate::tune::base::Base;
    use crate::tune::lora::LoraConfig;

    const SEARCHED: &str = "<reason>Whose?</reason><text_search>Chad, area</text_search>";
    const ANSWERED: &str = "<reason>The page says it.</reason><answer>7</answer>";
    const BOX: &str = r#"{"bbox_2d": [1, 2, 30, 40]}"#;

    fn chat() -> Chat {
        let pocket = Files::folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../mllm/pocket"));
        let (lora, optimiser) = (LoraConfig::default(), AdamWConfig::default());
        Base::open(Processor::Cpu, &pocket, &lora, optimiser, 1).unwrap().chat
    }

    fn asked(text: &str) -> Message {
        Message::text(Role::User, text.to_owned())
    }

    fn turn(read: &[Message], wrote: &str) -> Turn {
        let (read, wrote) = (read.to_vec(), wrote.to_owned());
        Turn { read, wrote, ids: Vec::new(), tokens: 9, valid: true, ended: false, after_failure: false }
    }

    /// A run that searches, asks for a box meanwhile, and ends its answer itself after a tool has failed.
    fn rollout() -> Rollout {
        let first = asked("How large is it?");
        let wrote = Message::text(Role::Assistant, SEARCHED.to_owned());
        let last = turn(&[first.clone(), wrote, asked("<information>7</information>")], ANSWERED);
        let turns = vec![
            turn(&[first], SEARCHED),
            turn(&[asked("Locate: the flag.")], BOX),
            Turn { ended: true, after_failure: true, ..last },
        ];
        Rollout::new(Some("7".into()), true, Notes { turns, searches: 1, failed: true })
    }

    /// The tokens of a sequence that are learnt.
    fn weighty(sequence: &Sequence) -> Vec<u32> {
        let ids = sequence.ids.iter().zip(&sequence.weights).filter(|(_, weight)| **weight > 0.0);
        ids.map(|(id, _)| *id).collect()
    }

    /// What is learnt in each sequence, as text.
    fn learnt(rollout: &Rollout, chat: &Chat, mask_after_failure: bool) -> Vec<String> {
        let text = |sequence| chat.tokenizer.inner().decode(&weighty(sequence), false).unwrap();
        rollout.sequences(chat, mask_after_failure).unwrap().iter().map(text).collect()
    }

    #[test]
    fn only_what_was_written_is_learnt_and_the_end_of_a_turn_where_the_model_wrote_it() {
        let (chat, rollout) = (chat(), rollout());
        let both = format!("{SEARCHED}{ANSWERED}<|im_end|>");
        assert_eq!(learnt(&rollout, &chat, false), [both, BOX.to_owned()]);
        assert_eq!(learnt(&rollout, &chat, true), [SEARCHED, BOX], "what came after the failure is masked");
    }

    #[test]
    fn a_turn_that_was_kept_otherwise_begins_a_sequence_of_its_own() {
        let (chat, mut rollout) = (chat(), rollout());
        rollout.turns[2].read[1] =
            Message::text(Role::Assistant, "<text_search>Chad</text_search>".to_owned());
        let answered = format!("{ANSWERED}<|im_end|>");
        assert_eq!(learnt(&rollout, &chat, false), [SEARCHED.to_owned(), BOX.to_owned(), answered]);
    }

    #[test]
    fn a_turn_is_learnt_in_the_tokens_that_were_sampled() {
        let (chat, mut rollout) = (chat(), rollout());
        let cut = |pieces: &[&str]| -> Vec<u32> {
            pieces.iter().flat_map(|piece| chat.tokenizer.encode(piece).unwrap().get_ids().to_vec()).collect()
        };
        rollout.turns[0].ids = cut(&[SEARCHED]);
        rollout.turns[2].ids = cut(&["<reason>The page says i", "t.</reason><answer>", "7</ans", "wer>"]);
        assert_ne!(rollout.turns[2].ids, cut(&[ANSWERED]));
        let learnt: Vec<Vec<u32>> = rollout.sequences(&chat, false).unwrap().iter().map(weighty).collect();
        let end = chat.tokenizer.id(END);
        let sampled = rollout.turns[2].ids.iter().copied().chain(end).collect();
        assert_eq!(learnt, [cut(&[SEARCHED]), cut(&[BOX]), sampled]);
        // What it read before is what the others read, too.
        let whole = rollout.sequences(&chat, false).unwrap().pop().unwrap();
        rollout.turns[2].ids.clear();
        let usual = rollout.sequences(&chat, false).unwrap().swap_remove(0);
        let told = whole.weights.iter().take_while(|weight| **weight == 0.0).count();
        assert_eq!(whole.ids[..told], usual.ids[..told]);
        assert!(usual.weights[told] > 0.0, "both begin to write at the same place");
    }
}
