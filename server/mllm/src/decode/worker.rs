//! The thread that decodes: who may start, and who ends.
//!
//! - `step`: what runs in a step, and what comes of it.

mod step;

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::blocks::{BlockKey, Blocks};
use super::draft::Gain;
use super::engine::Limits;
use super::eyes::Eyes;
use super::pace::Pace;
use super::pictures::{Embedding, PictureHash, Pictures};
use super::sequence::{Job, Sequence};
use super::stats;
use crate::engine::{EngineError, Finish};
use crate::lm::{BLOCK, Executor};
use crate::loaded::{Loaded, Served};

/// How soon a cancellation is noticed while everybody waits for a picture to be seen.
const LOOK_UP: Duration = Duration::from_millis(10);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Somebody wants a turn.
    Turn(Box<Job>),
    /// A picture has been seen, or cannot be.
    Seen(PictureHash, Result<Embedding, String>),
    /// Nobody will ask any more.
    Close,
}

/// Everything that is being decoded or waits for it.
pub(super) struct Worker<'a> {
    loaded: &'a Loaded<Served>,
    eyes: &'a Eyes,
    limits: Limits,
    executor: Box<dyn Executor + 'a>,
    blocks: Blocks,
    pictures: Pictures,
    gain: Gain,
    pace: Pace,
    /// In the order in which they were asked for.
    waiting: VecDeque<Sequence<'a>>,
    /// In the order in which they were admitted.
    running: Vec<Sequence<'a>>,
}

impl<'a> Worker<'a> {
    /// Nothing is decoded yet; `waiting` are the turns that another worker left.
    pub(super) fn new(
        loaded: &'a Loaded<Served>,
        eyes: &'a Eyes,
        limits: Limits,
        waiting: VecDeque<Sequence<'a>>,
    ) -> Self {
        let language = &loaded.model.language;
        let count = limits.kv_blocks(language);
        Self {
            loaded,
            eyes,
            limits,
            executor: language.executor(count),
            blocks: Blocks::new(count),
            pictures: Pictures::new(limits.picture_bytes),
            gain: Gain::default(),
            pace: Pace::default(),
            waiting,
            running: Vec::new(),
        }
    }

    /// Decodes what comes until nobody can ask any more and everything is done.
    pub(super) fn run(&mut self, messages: &Receiver<Message>) {
        let (mut open, mut moved) = (true, false);
        while open || !self.is_idle() {
            if !moved {
                open &= self.wait(messages);
            }
            while let Ok(message) = messages.try_recv() {
                open &= self.take(message);
            }
            self.drop_cancelled();
            self.admit();
            self.guess();
            moved = self.step();
            stats::load(self.waiting.len(), self.running.len(), &self.blocks);
        }
    }

    /// The turns that had not begun. Those that are admitted end with the worker.
    pub(super) fn into_waiting(self) -> VecDeque<Sequence<'a>> {
        self.waiting
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Waits for a message, or for the moment to look for cancellations; says whether there will be more messages.
    fn wait(&mut self, messages: &Receiver<Message>) -> bool {
        if self.is_idle() {
            return messages.recv().is_ok_and(|message| self.take(message));
        }
        match messages.recv_timeout(LOOK_UP) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Says whether there will be more messages.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Turn(job) => {
                let sequence = Sequence::new(*job, &self.loaded.chat.tokenizer);
                self.waiting.push_back(sequence);
            }
            Message::Seen(hash, seen) => self.seen(hash, &seen),
            Message::Close => return false,
        }
        true
    }

    /// Gives an embedding to those who wait for it, or ends them.
    fn seen(&mut self, hash: PictureHash, seen: &Result<Embedding, String>) {
        self.pictures.looked(hash);
        if let Ok(embedding) = seen {
            self.pictures.keep(hash, embedding.clone());
        }
        for at in (0..self.running.len()).rev() {
            let sequence = &mut self.running[at];
            let wanted = sequence.unseen().into_iter().filter(|index| sequence.hashes[*index] == hash);
            let wanted: Vec<usize> = wanted.collect();
            match seen {
                _ if wanted.is_empty() => {}
                Ok(embedding) => {
                    wanted.into_iter().for_each(|index| sequence.seen[index] = Some(embedding.clone()));
                }
                Err(problem) => self.end(at, Err(EngineError::Internal(problem.clone()))),
            }
        }
    }

    /// Has the pictures seen that an admitted sequence lacks.
    fn look(&mut self, at: usize) {
        let sequence = &mut self.running[at];
        for index in sequence.unseen() {
            let hash = sequence.hashes[index];
            sequence.seen[index] = self.pictures.get(hash);
            stats::picture(sequence.seen[index].is_some());
            if sequence.seen[index].is_none() && self.pictures.want(hash) {
                self.eyes.look_at(hash, sequence.job.encoded.pictures[index].pixels.clone());
            }
        }
    }

    /// Ends what nobody wants any more and takes back its memory.
    fn drop_cancelled(&mut self) {
        let cancelled = |sequence: &Sequence| sequence.job.request.cancel.is_cancelled();
        while let Some(at) = self.running.iter().position(cancelled) {
            self.end(at, Ok(Finish::Cancelled));
        }
        while let Some(at) = self.waiting.iter().position(cancelled) {
            if let Some(sequence) = self.waiting.remove(at) {
                sequence.end(Ok(Finish::Cancelled));
            }
        }
    }

    /// Lets those who wait start, in their order, while there is room.
    fn admit(&mut self) {
        while self.running.len() < self.limits.sequences {
            // Taken out while it is looked at: if that breaks off, the turn does not come back to break off again.
            let Some(mut next) = self.waiting.pop_front() else { return };
            let coming = self.coming();
            // The last token has to be run to give scores.
            let reusable = &next.keys[..(next.ids.len() - 1) / BLOCK];
            let shared = self.blocks.share(reusable);
            let lacking = Sequence::blocks_for(next.ids.len()) - shared.len();
            // Somebody is computing the very block that this one lacks: it costs less to wait for it.
            let soon = reusable.get(shared.len()).is_some_and(|key| coming.contains(key));
            if soon || (lacking > self.blocks.available() && !self.running.is_empty()) {
                self.blocks.release(&shared);
                self.waiting.push_front(next);
                return;
            }
            next.cached = shared.len() * BLOCK;
            next.reused.get_or_insert(next.cached);
            next.blocks = shared;
            self.running.push(next);
            self.look(self.running.len() - 1);
        }
    }

    /// Keys of the blocks of prompts that are being computed.
    fn coming(&self) -> HashSet<BlockKey> {
        self.running
            .iter()
            .flat_map(|sequence| sequence.keys.iter().skip(sequence.cached / BLOCK))
            .copied()
            .collect()
    }

    /// Ends an admitted sequence. Its blocks stay known for those who go on from there.
    fn end(&mut self, at: usize, result: Result<Finish, EngineError>) {
        let sequence = self.running.remove(at);
        self.blocks.release(&sequence.blocks);
        sequence.end(result);
    }
}

#[cfg(test)]
mod tests;
