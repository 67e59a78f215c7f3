//! What runs in a step, and what comes of it.

use std::ops::Range;
use std::time::Instant;

use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::super::{plan, stats};
use super::Worker;
use crate::engine::{EngineError, Finish};
use crate::lm::{BLOCK, Batch, Input, Segment, Wanted, What};

/// What a step runs: places in `running` with the number of their tokens.
type Plan = Vec<(usize, usize)>;
/// Places in `running` of those who end, and how.
type Ended = Vec<(usize, Result<Finish, EngineError>)>;

impl Worker<'_> {
    /// Runs one step for everything that is admitted; says whether anything was done.
    pub(super) fn step(&mut self) -> bool {
        let Some(plan) = self.plan() else { return false };
        let mut ended = Ended::new();
        if let Err(error) = self.run_plan(&plan, &mut ended) {
            self.run_each(&plan, error, &mut ended);
        }
        // From the back, so that places stay good.
        ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, result) in ended {
            self.end(at, result);
        }
        true
    }

    /// Runs a plan in one step; those who end are noted in `ended`.
    ///
    /// # Errors
    /// When the step fails.
    fn run_plan(&mut self, plan: &[(usize, usize)], ended: &mut Ended) -> Result<(), EngineError> {
        let (mut batch, mut ran) = (Batch::default(), Plan::new());
        for &(at, tokens) in plan {
            let cached = self.running[at].cached;
            match self.gather(at, cached..cached + tokens, &mut batch) {
                Ok(()) => ran.push((at, tokens)),
                Err(result) => ended.push((at, result)),
            }
        }
        if ran.is_empty() { Ok(()) } else { self.decode(&batch, &ran, ended) }
    }

    /// Runs each sequence of a plan whose step failed by itself: what one asks for, a GPU's memory for instance, ends
    /// nobody else.
    fn run_each(&mut self, plan: &[(usize, usize)], error: EngineError, ended: &mut Ended) {
        if let [(at, _)] = plan {
            ended.push((*at, Err(error)));
            return;
        }
        tracing::warn!(%error, turns = plan.len(), "a step failed; its turns are run one by one");
        ended.clear();
        for part in plan {
            if let Err(error) = self.run_plan(std::slice::from_ref(part), ended) {
                ended.push((part.0, Err(error)));
            }
        }
    }

    /// Who runs how many tokens; makes room for them. Where memory is short, the last one admitted goes back to wait.
    fn plan(&mut self) -> Option<Plan> {
        loop {
            let ready: Vec<usize> = self.running.iter().map(Sequence::ready).collect();
            let shares =
                plan::share(&ready, &self.pace).into_iter().enumerate().filter(|(_, tokens)| *tokens > 0);
            let plan: Plan =
                shares.map(|(at, tokens)| (at, tokens + self.running[at].draft.tokens.len())).collect();
            if self.make_room(&plan) {
                return (!plan.is_empty()).then_some(plan);
            }
            if self.running.len() < 2 {
                let tokens = self.blocks.count() * BLOCK;
                let context =
                    EngineError::TooLong { tokens: self.running.first()?.ids.len(), context: tokens };
                self.end(0, Err(context));
                return None;
            }
            self.preempt();
        }
    }

    /// Takes the blocks that a plan needs, if there are so many.
    pub(super) fn make_room(&mut self, plan: &[(usize, usize)]) -> bool {
        let lacking = |(at, tokens): &(usize, usize)| {
            let sequence = &self.running[*at];
            Sequence::blocks_for(sequence.cached + tokens).saturating_sub(sequence.blocks.len())
        };
        let lacking: Vec<usize> = plan.iter().map(lacking).collect();
        if lacking.iter().sum::<usize>() > self.blocks.available() {
            return false;
        }
        for ((at, _), lacking) in plan.iter().zip(lacking) {
            self.running[*at].blocks.extend((0..lacking).map_while(|_| self.blocks.take()));
        }
        true
    }

    /// Sends the turn that was admitted last back to wait. What it has written stays; its blocks are others' to take.
    pub(super) fn preempt(&mut self) {
        let Some(mut last) = self.running.pop() else { return };
        self.blocks.release(&last.blocks);
        last.blocks.clear();
        last.draft = Draft::default();
        last.cached = 0;
        self.waiting.push_front(last);
    }

    /// Adds tokens of a sequence, or of the draft after it, to the batch; nothing of them where a picture cannot be seen.
    pub(super) fn gather(
        &mut self,
        at: usize,
        range: Range<usize>,
        batch: &mut Batch,
    ) -> Result<(), Result<Finish, EngineError>> {
        let Self { loaded, running, .. } = self;
        let sequence = &mut running[at];
        let hidden = loaded.model.language.config().hidden_size;
        let (tokens, first) = (range.len(), batch.positions.len());
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
        let last = sequence.ids.len() - 1;
        for token in range.start.max(last)..range.end {
            let choice = sequence.choice(token - last).map_err(Err)?;
            batch.wanted.push(Wanted { token: first + token - range.start, what: What::Token(choice) });
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
    ///
    /// # Errors
    /// When the step fails.
    fn decode(&mut self, batch: &Batch, ran: &Plan, ended: &mut Ended) -> Result<(), EngineError> {
        let started = Instant::now();
        let next = self.executor.step(batch);
        let time = started.elapsed();
        stats::stepped(ran.len(), batch.len(), time);
        let mut next = match next {
            Ok(next) => next.into_iter(),
            // Those who are cancelled end as such, before the next step.
            Err(_) if batch.is_abandoned() => return Ok(()),
            Err(error) => return Err(EngineError::Internal(error.to_string())),
        };
        self.pace.note(batch.len(), time.as_secs_f32());
        let before = self.written();
        for (at, tokens) in ran {
            let sequence = &mut self.running[*at];
            let (known, drafted) = (sequence.cached / BLOCK, sequence.draft.tokens.len());
            sequence.cached += tokens - drafted;
            sequence.let_go();
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
        if batch.wanted.len() == batch.len() {
            self.note_gain(ran.len(), self.written() - before, time);
        }
        Ok(())
    }

    /// Tokens of everybody who is admitted.
    pub(super) fn written(&self) -> usize {
        self.running.iter().map(|sequence| sequence.ids.len()).sum()
    }
}
