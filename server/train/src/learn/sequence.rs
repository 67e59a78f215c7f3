//! One example as the model reads it.

use std::sync::Arc;

use loupe_mllm::chat::Chat;
use loupe_mllm::engine::{Message, Role};
use loupe_mllm::model::{Grid, Positions};
use loupe_shared::pixels::Rgb8;

use crate::learn::dense::{Cell, cells};
use crate::learn::example::{Example, Turn};

/// Tokens with a loss weight each, and the pictures among them.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The example's kind.
    pub kind: &'static str,
    /// Token ids; a picture is a run of picture tokens.
    pub ids: Vec<u32>,
    /// Weight of the loss of predicting each token; the first is 0.
    pub weights: Vec<f32>,
    /// The number of the assistant's turn that each token belongs to, from 1; 0 elsewhere.
    pub turns: Vec<u16>,
    /// Rotary positions.
    pub positions: Positions,
    /// Patch grids of the pictures, in order.
    pub grids: Vec<Grid>,
    /// The pictures' normalised patches, 1176 values each.
    pub patches: Vec<f32>,
    /// What is in each merged cell of the first picture; empty without labels.
    pub cells: Vec<Cell>,
}

/// A sequence while it is put together.
#[derive(Default)]
struct Draft {
    ids: Vec<u32>,
    weights: Vec<f32>,
    turns: Vec<u16>,
    pictures: Vec<(Arc<Rgb8>, Grid)>,
    replies: u16,
}

impl Sequence {
    /// Encodes an example: runs of messages by the chat template, plain text as it is with `<|endoftext|>` behind it,
    /// tokens as they are. A reply ends its run.
    ///
    /// # Errors
    /// When the text, the template or a picture is refused, or the example has fewer than two tokens.
    pub fn encode(example: &Example, chat: &Chat) -> loupe_mllm::Result<Self> {
        let mut draft = Draft::default();
        let is_message = |turn: &Turn| matches!(turn, Turn::Message { .. } | Turn::Reply { .. });
        for run in example.turns.chunk_by(|a, b| is_message(a) && is_message(b)) {
            draft.push(run, chat)?;
        }
        draft.finish(example, chat)
    }
}

impl Draft {
    /// A text, tokens, or messages that follow each other, with the reply to them.
    fn push(&mut self, run: &[Turn], chat: &Chat) -> loupe_mllm::Result<()> {
        let mut messages: Vec<Message> = Vec::new();
        let mut weights = Vec::new();
        let mut reply = None;
        for turn in run {
            match turn {
                Turn::Text { text, weight } => self.push_text(text, *weight, chat)?,
                Turn::Tokens { ids, weight } => self.push_tokens(ids, *weight),
                Turn::Message { message, weight } => {
                    messages.push(message.clone());
                    weights.push(*weight);
                }
                Turn::Reply { ids, weight } => reply = Some((ids, *weight)),
            }
        }
        if !messages.is_empty() {
            self.push_messages(&messages, &weights, reply.is_some(), chat)?;
        }
        if let Some((ids, weight)) = reply {
            self.push_tokens(ids, weight);
            self.replies += 1;
            let start = self.ids.len() - ids.len();
            self.turns[start..].fill(self.replies);
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str, weight: f32, chat: &Chat) -> loupe_mllm::Result<()> {
        let encoding = chat.tokenizer.encode(&chat.tokenizer.plain(text))?;
        self.push_tokens(encoding.get_ids(), weight);
        self.push_tokens(chat.tokenizer.id("<|endoftext|>").as_slice(), weight);
        Ok(())
    }

    fn push_tokens(&mut self, ids: &[u32], weight: f32) {
        self.ids.extend(ids);
        self.weights.resize(self.ids.len(), weight);
        self.turns.resize(self.ids.len(), 0);
    }

    fn push_messages(
        &mut self,
        messages: &[Message],
        weights: &[f32],
        reply: bool,
        chat: &Chat,
    ) -> loupe_mllm::Result<()> {
        let encoded = chat.encode(messages, reply)?;
        let start = self.ids.len();
        self.ids.extend(&encoded.ids);
        self.weights.resize(self.ids.len(), 0.0);
        self.turns.resize(self.ids.len(), 0);
        for ((message, weight), span) in messages.iter().zip(weights).zip(&encoded.spans) {
            let body = start + span.body.start..start + span.body.end;
            self.weights[body.clone()].fill(*weight);
            if message.role == Role::Assistant {
                self.replies += 1;
                self.turns[body].fill(self.replies);
            }
        }
        for picture in encoded.pictures {
            self.weights[start + picture.tokens.start..start + picture.tokens.end].fill(0.0);
            self.pictures.push((picture.pixels, picture.grid));
        }
        Ok(())
    }

    fn finish(mut self, example: &Example, chat: &Chat) -> loupe_mllm::Result<Sequence> {
        if self.ids.len() < 2 {
            let problem = "an example needs at least two tokens";
            return Err(loupe_mllm::Error::Conversation(problem.into()));
        }
        // Nothing predicts the first token.
        self.weights[0] = 0.0;
        let grids: Vec<Grid> = self.pictures.iter().map(|(_, grid)| *grid).collect();
        let mut patches = Vec::new();
        for (picture, _) in &self.pictures {
            chat.preprocessor.push_patches(picture, &mut patches)?;
        }
        let cells = match grids.first() {
            Some(grid) if !example.seen.is_empty() => cells(&example.seen, *grid),
            _ => Vec::new(),
        };
        Ok(Sequence {
            kind: example.kind,
            positions: Positions::of(&self.ids, chat.image_token, &grids)?,
            ids: self.ids,
            weights: self.weights,
            turns: self.turns,
            grids,
            patches,
            cells,
        })
    }
}
