//! What runs in a step, and what comes of it.

use std::time::Instant;

use super::super::draft::STEP;
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
    /// Lets those who write guess what comes, where everybody writes and the step stays small.
    pub(super) fn guess(&mut self) {
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
            match self.gather(at, tokens, &mut batch) {
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
            self.preempt();
        }
    }

    /// Sends the turn that was admitted last back to wait. What it has written stays; its blocks are others' to take.
    pub(super) fn preempt(&mut self) {
        let Some(mut last) = self.running.pop() else { return };
        self.blocks.release(&last.blocks);
        last.blocks.clear();
        last.draft.clear();
        last.cached = 0;
        self.waiting.push_front(last);
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
            let (known, drafted) = (sequence.cached / BLOCK, sequence.draft.len());
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
        let drafted = batch.len() > ran.len();
        if batch.wanted.len() == batch.len() {
            self.gain.note(drafted, self.written() - before, time.as_secs_f32());
        }
        Ok(())
    }

    /// Tokens of everybody who is admitted.
    fn written(&self) -> usize {
        self.running.iter().map(|sequence| sequence.ids.len()).sum()
    }
}
