//! The thread that decodes: who may start, and who ends.
//!
//! - `guess`: what may come next.
//! - `step`: what runs in a step, and what comes of it.

mod guess;
mod step;

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use self::guess::Guessed;
use super::blocks::{BlockKey, Blocks};
use super::draft::{Gain, WRITERS};
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
    /// What the eyes are looking at.
    looking: Option<PictureHash>,
    /// What drafts are worth, by how many write.
    gains: Vec<Gain>,
    guessed: Guessed,
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
            looking: None,
            gains: (1..=WRITERS).map(|writers| Gain::new(writers, language.has_drafter())).collect(),
            guessed: Guessed::default(),
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
            moved = self.go_on();
            stats::load(self.waiting.len(), self.running.len(), &self.blocks);
        }
    }

    /// Does what there is to do now, up to the end of a step; says whether one was run.
    fn go_on(&mut self) -> bool {
        self.drop_cancelled();
        self.admit();
        self.look();
        self.guess();
        self.step()
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
        // What a worker that broke off had ordered comes, too.
        self.looking = self.looking.filter(|looking| *looking != hash);
        if let Ok(embedding) = seen {
            self.pictures.keep(hash, embedding.clone());
        }
        for at in (0..self.running.len()).rev() {
            let sequence = &mut self.running[at];
            let wanted = sequence.unseen().into_iter().filter(|index| sequence.job.hashes[*index] == hash);
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

    /// Has the next picture seen that an admitted sequence lacks, the oldest sequence's first. One at a time: what else
    /// is wanted follows from who is there once it is seen, so nobody is kept waiting for the wishes of who has gone.
    fn look(&mut self) {
        if self.looking.is_some() {
            return;
        }
        let Some((hash, picture)) = self.running.iter().find_map(Sequence::wish) else { return };
        self.looking = Some(hash);
        self.eyes.look_at(hash, picture);
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

    /// Lets those who wait start, in their order, while there is room. One whose next block somebody is computing keeps
    /// its place: it costs less to wait for that block, and nobody behind it has to.
    fn admit(&mut self) {
        let mut coming: HashSet<BlockKey> = self.running.iter().flat_map(Sequence::coming).collect();
        let mut at = 0;
        while self.running.len() < self.limits.sequences {
            // Taken out while it is looked at: if that breaks off, the turn does not come back to break off again.
            let Some(mut next) = self.waiting.remove(at) else { return };
            let reusable = next.reusable();
            if reusable.get(self.blocks.known(reusable)).is_some_and(|key| coming.contains(key)) {
                self.waiting.insert(at, next);
                at += 1;
                continue;
            }
            next.blocks = self.blocks.share(reusable);
            if self.is_short_for(&next) {
                self.blocks.release(&next.blocks);
                next.blocks.clear();
                self.waiting.insert(at, next);
                return;
            }
            self.start(next);
            coming.extend(self.running.last().into_iter().flat_map(Sequence::coming));
        }
    }

    /// Whether a sequence needs more memory than is left once those who were let in have what their tokens still need. One
    /// that would be alone is let in whatever it needs.
    fn is_short_for(&self, next: &Sequence) -> bool {
        let promised: usize = self.running.iter().map(Sequence::blocks_lacking).sum();
        !self.running.is_empty() && promised + next.blocks_lacking() > self.blocks.available()
    }

    /// Admits a sequence that has taken over the blocks that are known.
    fn start(&mut self, mut next: Sequence<'a>) {
        next.cached = next.blocks.len() * BLOCK;
        next.reused.get_or_insert(next.cached);
        for index in next.unseen() {
            next.seen[index] = self.pictures.get(next.job.hashes[index]);
            stats::picture(next.seen[index].is_some());
        }
        self.running.push(next);
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
