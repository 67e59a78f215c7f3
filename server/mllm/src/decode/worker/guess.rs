//! What may come next, guessed before a step.

use std::time::{Duration, Instant};

use super::super::draft::{STEP, WRITERS, Way};
use super::Worker;
use crate::lm::{Batch, Next};

/// How the next step's drafts came about, and the time that took.
#[derive(Debug)]
pub(super) struct Guessed {
    way: Way,
    time: Duration,
}

impl Default for Guessed {
    fn default() -> Self {
        Self { way: Way::Drafter(0), time: Duration::ZERO }
    }
}

impl Worker<'_> {
    /// Lets those who write guess what comes, where everybody writes and the step stays small.
    pub(super) fn guess(&mut self) {
        self.guessed = Guessed::default();
        for sequence in &mut self.running {
            sequence.draft.tokens.clear();
        }
        let ready = |at: &usize| self.running[*at].ready() > 0;
        let ready: Vec<usize> = (0..self.running.len()).filter(ready).collect();
        let all_write = ready.iter().all(|at| self.running[*at].lacking() == 1);
        if !all_write || !self.limits.drafts || !(1..=WRITERS).contains(&ready.len()) {
            return;
        }
        let gain = &mut self.gains[ready.len() - 1];
        let (way, depth) = (gain.way(), gain.depth());
        match way {
            Way::Prompt if self.look_up(&ready) => self.guessed.way = way,
            Way::Prompt => self.draft(ready, depth),
            Way::Drafter(depth) => self.draft(ready, depth),
        }
    }

    /// Drafts from the prompt; says whether there is a draft.
    fn look_up(&mut self, writers: &[usize]) -> bool {
        let most = STEP / writers.len() - 1;
        let found = writers.iter().map(|at| self.running[*at].look_up(most));
        found.fold(false, |any, found| any | found)
    }

    /// Has the drafter write up to `depth` tokens for each, where memory has room for them.
    fn draft(&mut self, mut writers: Vec<usize>, depth: usize) {
        let started = Instant::now();
        let plan: Vec<_> = writers.iter().map(|at| (*at, 1 + depth)).collect();
        if depth == 0 || !self.make_room(&plan) {
            return;
        }
        for drafted in 0..depth {
            writers.retain(|at| self.running[*at].guessable() > drafted);
            if let Err(error) = self.draft_token(&mut writers) {
                // The step may do better; if not, it says so.
                tracing::warn!(%error, "nothing can be drafted");
                break;
            }
        }
        self.guessed = Guessed { way: Way::Drafter(depth), time: started.elapsed() };
    }

    /// Has the drafter write the next token for each; those who end with it write no more.
    fn draft_token(&mut self, writers: &mut Vec<usize>) -> crate::Result<()> {
        let mut batch = Batch::default();
        writers.retain(|at| {
            let sequence = &self.running[*at];
            let last = sequence.ids.len() - 1 + sequence.draft.tokens.len();
            self.gather(*at, last..last + 1, &mut batch).is_ok()
        });
        if batch.is_empty() {
            return Ok(());
        }
        let mut next = self.executor.draft(&batch)?.unwrap_or_default().into_iter();
        writers.retain(|at| match next.next() {
            Some(Next::Token(Some(id))) if !self.loaded.end_ids.contains(&id) => {
                let draft = &mut self.running[*at].draft;
                draft.is_from_prompt = false;
                draft.tokens.push(id);
                true
            }
            _ => false,
        });
        Ok(())
    }

    /// Notes what a step of so many turns gave, in which everybody wrote.
    pub(super) fn note_gain(&mut self, writers: usize, tokens: usize, step: Duration) {
        let Guessed { way, time } = self.guessed;
        if let Some(gain) = self.gains.get_mut(writers.wrapping_sub(1)) {
            gain.note(way, tokens, (time + step).as_secs_f32());
        }
    }
}
