//! One turn while it is decoded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loupe_shared::pixels::Rgb8;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::blocks::BlockKey;
use super::draft::{Draft, Lookup};
use super::pictures::{Embedding, PictureHash};
use super::sampler::Sampler;
use super::stats;
use super::stream::TextStream;
use crate::chat::Encoded;
use crate::engine::{Completion, EngineError, Finish, GenerateRequest};
use crate::grammar::Mask;
use crate::lm::{BLOCK, BlockId, Choice, Lora, Next};
use crate::model::Positions;
use crate::tokenizer::Tokenizer;

/// A turn that somebody waits for.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    /// The adapter that the request names.
    pub(super) adapter: Option<Arc<Lora>>,
    /// The request's conversation.
    pub(super) encoded: Encoded,
    /// Hashes of the conversation's pictures.
    pub(super) hashes: Vec<PictureHash>,
    pub(super) positions: Positions,
    /// Tokens that may be written.
    pub(super) room: usize,
    /// What the turn is held to.
    pub(super) mask: Option<Mask>,
    pub(super) deltas: UnboundedSender<String>,
    pub(super) reply: oneshot::Sender<Result<Completion, EngineError>>,
    pub(super) started: Instant,
}

/// A job with what has been computed of it.
pub(super) struct Sequence<'a> {
    pub(super) job: Job,
    /// Embeddings of the conversation's pictures, as far as they were seen and are still to be run.
    pub(super) seen: Vec<Option<Embedding>>,
    /// The prompt, then what was written.
    pub(super) ids: Vec<u32>,
    /// Keys of the full blocks of `ids`.
    pub(super) keys: Vec<BlockKey>,
    pub(super) blocks: Vec<BlockId>,
    /// Tokens whose keys and values are in the blocks.
    pub(super) cached: usize,
    /// Of these, how many were there when the turn first started.
    pub(super) reused: Option<usize>,
    pub(super) draft: Draft,
    lookup: Lookup,
    sampler: Sampler,
    stream: TextStream<'a>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(mut job: Job, tokenizer: &'a Tokenizer) -> Self {
        let ids = job.encoded.ids.clone();
        let adapter = job.adapter.as_ref().map(|adapter| adapter.id());
        Self {
            keys: BlockKey::of(&ids, &job.encoded, &job.hashes, adapter),
            seen: vec![None; job.hashes.len()],
            ids,
            blocks: Vec::new(),
            cached: 0,
            reused: None,
            draft: Draft::default(),
            lookup: Lookup::new(),
            sampler: Sampler::new(job.request.sampling),
            stream: TextStream::new(tokenizer, std::mem::take(&mut job.request.stop)),
            first_token: None,
            last_token: None,
            job,
        }
    }

    /// Tokens that have to be run before the next one can be chosen.
    pub(super) fn lacking(&self) -> usize {
        self.ids.len() - self.cached
    }

    /// Of these, how many can be run now: those before the first picture that has not been seen yet.
    pub(super) fn ready(&self) -> usize {
        let mut pictures = self.job.encoded.pictures.iter().zip(&self.seen);
        let unseen = pictures.find(|(picture, seen)| seen.is_none() && picture.tokens.end > self.cached);
        unseen.map_or(self.lacking(), |(picture, _)| picture.tokens.start.saturating_sub(self.cached))
    }

    /// Pictures of which tokens lack and that have not been seen yet, by their place in the conversation.
    pub(super) fn unseen(&self) -> Vec<usize> {
        let pictures = self.job.encoded.pictures.iter().zip(&self.seen).enumerate();
        let unseen =
            pictures.filter(|(_, (picture, seen))| seen.is_none() && picture.tokens.end > self.cached);
        unseen.map(|(index, _)| index).collect()
    }

    /// The first picture that it lacks.
    pub(super) fn wish(&self) -> Option<(PictureHash, Arc<Rgb8>)> {
        let index = *self.unseen().first()?;
        Some((self.job.hashes[index], self.job.encoded.pictures[index].pixels.clone()))
    }

    /// Lets go of the embeddings of pictures that are in the blocks by now: only whoever loses these needs them again.
    pub(super) fn let_go(&mut self) {
        for (picture, seen) in self.job.encoded.pictures.iter().zip(&mut self.seen) {
            if picture.tokens.end <= self.cached {
                *seen = None;
            }
        }
    }

    /// Blocks that `tokens` in all take.
    pub(super) fn blocks_for(tokens: usize) -> usize {
        tokens.div_ceil(BLOCK)
    }

    /// Blocks that it still has to take for the tokens that it has.
    pub(super) fn blocks_lacking(&self) -> usize {
        Self::blocks_for(self.ids.len()).saturating_sub(self.blocks.len())
    }

    /// Keys of the blocks that it may take over. The last token has to be run to give scores.
    pub(super) fn reusable(&self) -> &[BlockKey] {
        &self.keys[..(self.ids.len() - 1) / BLOCK]
    }

    /// Keys of the blocks that it computes.
    pub(super) fn coming(&self) -> impl Iterator<Item = BlockKey> {
        self.keys.iter().skip(self.cached / BLOCK).copied()
    }

    /// Time, row and column of a token.
    pub(super) fn position(&self, token: usize) -> [u32; 3] {
        let positions = &self.job.positions;
        match token.checked_sub(positions.len()) {
            Some(written) => [positions.next() + written as u32; 3],
            None => positions.rows().each_ref().map(|row| row[token]),
        }
    }

    /// The picture that a token is part of, and which part of it.
    pub(super) fn picture(&self, token: usize) -> Option<(usize, usize)> {
        let pictures = self.job.encoded.pictures.iter();
        let mut parts = pictures.enumerate().filter(|(_, picture)| picture.tokens.contains(&token));
        parts.next().map(|(index, picture)| (index, token - picture.tokens.start))
    }

    /// How the token `ahead` tokens after the next one is chosen; a step that is run again chooses the same.
    ///
    /// # Errors
    /// When the grammar's limits are exceeded.
    pub(super) fn choice(&mut self, ahead: usize) -> Result<Choice, EngineError> {
        let allowed = self.job.mask.as_mut().map(Mask::allowed).transpose()?;
        Ok(self.sampler.choice(ahead, allowed))
    }

    /// How many tokens may be guessed after the one that is due. What is held to a grammar is not guessed: what it allows
    /// depends on each token before.
    pub(super) fn guessable(&self) -> usize {
        if self.lacking() == 1 && self.job.mask.is_none() {
            self.job.room.saturating_sub(self.written() + 1)
        } else {
            0
        }
    }

    /// Drafts up to `most` tokens from the prompt; says whether there is a draft.
    pub(super) fn look_up(&mut self, most: usize) -> bool {
        let tokens = match most.min(self.guessable()) {
            0 => Vec::new(),
            most => self.lookup.propose(&self.ids, most),
        };
        self.draft = Draft { tokens, is_from_prompt: true };
        !self.draft.tokens.is_empty()
    }

    /// A token of the sequence or of the draft after it.
    pub(super) fn token(&self, place: usize) -> u32 {
        match place.checked_sub(self.ids.len()) {
            Some(drafted) => self.draft.tokens[drafted],
            None => self.ids[place],
        }
    }

    /// Takes what comes after the token that was due and after each of the draft, as far as the draft was right; says why
    /// the turn ends, if it does.
    pub(super) fn take(
        &mut self,
        mut next: impl Iterator<Item = Next>,
        end_ids: &[u32],
    ) -> Result<Option<Finish>, EngineError> {
        let Draft { tokens: draft, is_from_prompt } = std::mem::take(&mut self.draft);
        let before = self.ids.len();
        let mut end = None;
        for place in 0..=draft.len() {
            let Some(Next::Token(id)) = next.next() else { break };
            end = self.write(id.ok_or(EngineError::NotFinite)?, end_ids)?;
            if end.is_some() || self.ids.last() != draft.get(place) {
                break;
            }
        }
        let kept = self.ids.len() - before;
        // What is written last has not been run yet.
        self.cached += kept.saturating_sub(1).min(draft.len());
        let right = kept.saturating_sub(1);
        if is_from_prompt {
            self.lookup.learn(draft.len(), right, self.ids.len());
        }
        if !draft.is_empty() {
            stats::drafted(is_from_prompt, draft.len(), right);
        }
        Ok(end)
    }

    /// Takes the next token; says why the turn ends with it, if it does.
    fn write(&mut self, id: u32, end_ids: &[u32]) -> Result<Option<Finish>, EngineError> {
        self.note_time();
        self.sampler.advance();
        if end_ids.contains(&id) {
            return Ok(Some(Finish::EndOfTurn));
        }
        if let Some(mask) = &mut self.job.mask {
            mask.push(id)?;
        }
        self.ids.push(id);
        let adapter = self.job.adapter.as_ref().map(|adapter| adapter.id());
        BlockKey::extend(&mut self.keys, &self.ids, &self.job.encoded, &self.job.hashes, adapter);
        let step = self.stream.push(id)?;
        if !step.delta.is_empty() {
            // Nobody has to listen.
            self.job.deltas.send(step.delta).ok();
        }
        if step.stopped {
            return Ok(Some(Finish::Stop));
        }
        Ok((self.written() >= self.job.room).then_some(Finish::Length))
    }

    fn note_time(&mut self) {
        let now = Instant::now();
        match self.last_token.replace(now) {
            Some(last) => stats::next_token(now - last),
            None => {
                self.first_token = Some(now);
                stats::first_token(now - self.job.started);
            }
        }
    }

    fn written(&self) -> usize {
        self.ids.len() - self.job.encoded.ids.len()
    }

    /// Tells whoever waits how it ended; a receiver that is gone is ignored.
    pub(super) fn end(mut self, result: Result<Finish, EngineError>) {
        let tokens = self.ids.split_off(self.job.encoded.ids.len());
        let completion = result.map(|finish| Completion {
            finish,
            prompt_tokens: self.job.encoded.ids.len() as u32,
            reused_tokens: self.reused.unwrap_or(0) as u32,
            generated_tokens: tokens.len() as u32,
            first_token: self.first_token.map_or(Duration::ZERO, |first| first - self.job.started),
            decoding: self.first_token.map_or(Duration::ZERO, |first| first.elapsed()),
            text: self.stream.into_text(),
            tokens,
        });
        if let Ok(completion) = &completion {
            tracing::debug!(
                prompt = completion.prompt_tokens,
                reused = completion.reused_tokens,
                generated = completion.generated_tokens,
                first_token = ?completion.first_token,
                finish = ?completion.finish,
                "decoded a turn"
            );
        }
        stats::turn(&completion);
        self.job.reply.send(completion).ok();
    }
}
