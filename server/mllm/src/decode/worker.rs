//! The thread that decodes: who may start, what runs in a step, what comes of it.

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::blocks::{BlockKey, Blocks};
use super::draft::{Gain, STEP};
use super::engine::Limits;
use super::eyes::Eyes;
use super::pace::Pace;
use super::pictures::{Embedding, PictureHash, Pictures};
use super::plan;
use super::sequence::{Job, Sequence};
use super::stats;
use crate::engine::{EngineError, Finish};
use crate::lm::{BLOCK, Batch, Executor, Input, Segment, Wanted, What};
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

/// What a step runs: places in `running` with the number of their tokens.
type Plan = Vec<(usize, usize)>;

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

    /// Lets those who write guess what comes, where everybody writes and the step stays small.
    fn guess(&mut self) {
        let ready = || self.running.iter().filter(|sequence| sequence.ready() > 0);
        let all_write = ready().all(|sequence| sequence.lacking() == 1);
        let each = if all_write && self.limits.drafts && self.gain.drafts() {
            STEP / ready().count().max(1)
        } else {
            0
        };
        for sequence in &mut self.running {
            sequence.guess(each.saturating_sub(1));
        }
    }

    /// Runs one step for everything that is admitted; says whether anything was done.
    fn step(&mut self) -> bool {
        let Some(plan) = self.plan() else { return false };
        let mut batch = Batch::default();
        let mut ran = Plan::new();
        let mut failed = Vec::new();
        for (at, tokens) in plan {
            match self.gather(at, tokens, &mut batch) {
                Ok(()) => ran.push((at, tokens)),
                Err(error) => failed.push((at, error)),
            }
        }
        if !ran.is_empty() {
            self.decode(&batch, &ran, &mut failed);
        }
        // From the back, so that places stay good.
        failed.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, result) in failed {
            self.end(at, result);
        }
        true
    }

    /// Who runs how many tokens; makes room for them. Where memory is short, the last one admitted goes back to wait.
    fn plan(&mut self) -> Option<Plan> {
        loop {
            let ready: Vec<usize> = self.running.iter().map(Sequence::ready).collect();
            let shares =
                plan::share(&ready, &self.pace).into_iter().enumerate().filter(|(_, tokens)| *tokens > 0);
            let plan: Plan = shares.map(|(at, tokens)| (at, tokens + self.running[at].draft.len())).collect();
            let wanted = |(at, tokens): &(usize, usize)| {
                let sequence = &self.running[*at];
                Sequence::blocks_for(sequence.cached + tokens).saturating_sub(sequence.blocks.len())
            };
            let wanted: usize = plan.iter().map(wanted).sum();
            if wanted <= self.blocks.available() {
                for (at, tokens) in &plan {
                    let sequence = &mut self.running[*at];
                    let count = Sequence::blocks_for(sequence.cached + tokens);
                    while sequence.blocks.len() < count {
                        sequence.blocks.push(self.blocks.take()?);
                    }
                }
                return (!plan.is_empty()).then_some(plan);
            }
            if self.running.len() < 2 {
                let tokens = self.blocks.count() * BLOCK;
                let context =
                    EngineError::TooLong { tokens: self.running.first()?.ids.len(), context: tokens };
                self.end(0, Err(context));
                return None;
            }
            let mut last = self.running.pop()?;
            self.blocks.release(&last.blocks);
            last.blocks.clear();
            last.draft.clear();
            last.cached = 0;
            self.waiting.push_front(last);
        }
    }

    /// Adds the next `tokens` of a sequence to the batch; nothing of them where a picture cannot be seen.
    fn gather(
        &mut self,
        at: usize,
        tokens: usize,
        batch: &mut Batch,
    ) -> Result<(), Result<Finish, EngineError>> {
        let Self { loaded, running, .. } = self;
        let sequence = &mut running[at];
        let hidden = loaded.model.language.config().hidden_size;
        let range = sequence.cached..sequence.cached + tokens;
        let (mut inputs, mut embeds) = (Vec::with_capacity(tokens), Vec::new());
        for token in range.clone() {
            let Some((index, part)) = sequence.picture(token) else {
                inputs.push(Input::Token(sequence.token(token)));
                continue;
            };
            let seen =
                sequence.seen[index].as_ref().and_then(|seen| seen.get(part * hidden..(part + 1) * hidden));
            let seen =
                seen.ok_or_else(|| Err(EngineError::Internal("a picture has too few tokens".into())))?;
            inputs.push(Input::Embedding);
            embeds.extend_from_slice(seen);
        }
        let scored = (range.end + 1).saturating_sub(sequence.ids.len());
        if scored > 0 {
            let (choice, end) = (sequence.choice().map_err(Err)?, batch.positions.len() + tokens);
            let choices = (end - scored..end).zip(std::iter::repeat(choice));
            batch.wanted.extend(choices.map(|(token, choice)| Wanted { token, what: What::Token(choice) }));
        }
        batch.positions.extend(range.clone().map(|token| sequence.position(token)));
        batch.inputs.extend(inputs);
        batch.embeds.extend(embeds);
        let (blocks, adapter) = (sequence.blocks.clone(), sequence.job.adapter.clone());
        batch.cancels.push(sequence.job.request.cancel.clone());
        batch.segments.push(Segment { tokens, before: range.start, blocks, adapter });
        Ok(())
    }

    /// Runs a batch and takes what it gives; those who end are noted in `ended`.
    fn decode(&mut self, batch: &Batch, ran: &Plan, ended: &mut Vec<(usize, Result<Finish, EngineError>)>) {
        let started = Instant::now();
        let next = self.executor.step(batch);
        let time = started.elapsed();
        stats::stepped(ran.len(), batch.len(), time);
        let mut next = match next {
            Ok(next) => next.into_iter(),
            Err(error) => {
                // Those who are cancelled end as such, before the next step.
                if !batch.is_abandoned() {
                    let error = error.to_string();
                    ended.extend(ran.iter().map(|(at, _)| (*at, Err(EngineError::Internal(error.clone())))));
                }
                return;
            }
        };
        self.pace.note(batch.len(), time.as_secs_f32());
        let before = self.written();
        for (at, tokens) in ran {
            let sequence = &mut self.running[*at];
            let (known, drafted) = (sequence.cached / BLOCK, sequence.draft.len());
            sequence.cached += tokens - drafted;
            if sequence.lacking() == 0 {
                let own: Vec<_> = next.by_ref().take(1 + drafted).collect();
                match sequence.take(own.into_iter(), &self.loaded.end_ids) {
                    Ok(None) => {}
                    Ok(Some(finish)) => ended.push((*at, Ok(finish))),
                    Err(error) => {
                        // What it computed may be as broken as what it scored: nobody goes on from there.
                        self.blocks.forget(&sequence.blocks);
                        ended.push((*at, Err(error)));
                        continue;
                    }
                }
            }
            for number in known..sequence.cached / BLOCK {
                self.blocks.know(sequence.blocks[number], sequence.keys[number]);
            }
        }
        let drafted = batch.len() > ran.len();
        if batch.wanted.len() == batch.len() {
            self.gain.note(drafted, self.written() - before, time.as_secs_f32());
        }
    }

    /// Tokens of everybody who is admitted.
    fn written(&self) -> usize {
        self.running.iter().map(|sequence| sequence.ids.len()).sum()
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
