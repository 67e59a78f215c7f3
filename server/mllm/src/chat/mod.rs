//! Conversations as token ids: one encoding for decoding and for training.
//!
//! - `template`: the checkpoint's chat template.

mod template;

use std::ops::Range;
use std::sync::Arc;

use loupe_shared::pixels::Rgb8;

pub use template::{ChatTemplate, DEFAULT_TEMPLATE};

use crate::engine::{Message, Part};
use crate::error::{Error, Result};
use crate::model::{Grid, Positions};
use crate::picture::Preprocessor;
use crate::tokenizer::{MESSAGE_END, MESSAGE_START, Tokenizer};

/// Renders and tokenises conversations.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The checkpoint's tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template.
    pub template: ChatTemplate,
    /// Its image processor.
    pub preprocessor: Preprocessor,
    /// Id of `<|image_pad|>`.
    pub image_token: u32,
}

/// A conversation as the model reads it.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// Token ids; a picture is a run of picture tokens, one per merged cell.
    pub ids: Vec<u32>,
    /// The pictures, in order.
    pub pictures: Vec<EncodedPicture>,
    /// Where each message lies.
    pub spans: Vec<Span>,
}

/// A picture of a conversation.
#[derive(Debug, Clone)]
pub struct EncodedPicture {
    /// As the conversation holds it, before any resize.
    pub pixels: Arc<Rgb8>,
    /// The patches it will have.
    pub grid: Grid,
    /// Its tokens.
    pub tokens: Range<usize>,
}

/// Tokens of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Everything that the message adds to the conversation, with what the template puts before the first.
    pub whole: Range<usize>,
    /// What its author writes: from after `<|im_start|>role\n` through `<|im_end|>`. For an assistant's message, what
    /// the model has to write.
    pub body: Range<usize>,
}

impl Encoded {
    /// The pictures' grids, in order.
    #[must_use]
    pub fn grids(&self) -> Vec<Grid> {
        self.pictures.iter().map(|picture| picture.grid).collect()
    }

    /// Rotary positions of the tokens.
    ///
    /// # Errors
    /// [`Error::Conversation`] when ids and pictures were changed and no longer agree.
    pub fn positions(&self, image_token: u32) -> Result<Positions> {
        Positions::of(&self.ids, image_token, &self.grids())
    }
}

/// Bytes of the rendered text that a message adds.
struct Segment {
    whole: Range<usize>,
    body: Range<usize>,
}

impl Chat {
    /// Encodes a conversation; with `reply`, the assistant's turn is opened.
    ///
    /// # Errors
    /// [`Error::Conversation`] when the template refuses it or does not build it message by message,
    /// [`Error::Picture`] when a picture has an impossible shape.
    pub fn encode(&self, messages: &[Message], reply: bool) -> Result<Encoded> {
        let messages = self.plain(messages);
        let (text, segments) = self.segments(&messages, reply)?;
        let encoding = self.tokenizer.encode(&text)?;
        let offsets = encoding.get_offsets();
        let mut encoded = Encoded::default();
        let mut pictures = pictures_of(&messages);
        // Where each token of the text begins once pictures are expanded.
        let mut starts = Vec::with_capacity(offsets.len() + 1);
        for id in encoding.get_ids() {
            starts.push(encoded.ids.len());
            if *id == self.image_token {
                self.push_picture(&mut encoded, pictures.next())?;
            } else {
                encoded.ids.push(*id);
            }
        }
        starts.push(encoded.ids.len());
        if pictures.next().is_some() {
            return Err(Error::Conversation("the chat template leaves out a picture".into()));
        }
        let place = |byte: usize| starts[offsets.partition_point(|(from, _)| *from < byte)];
        let range = |bytes: &Range<usize>| place(bytes.start)..place(bytes.end);
        encoded.spans =
            segments.iter().map(|s| Span { whole: range(&s.whole), body: range(&s.body) }).collect();
        Ok(encoded)
    }

    fn push_picture(&self, encoded: &mut Encoded, pixels: Option<&Arc<Rgb8>>) -> Result<()> {
        let pixels = pixels.ok_or_else(|| {
            Error::Conversation("the chat template asks for more pictures than there are".into())
        })?;
        let grid = self.preprocessor.grid(pixels.width(), pixels.height())?;
        let start = encoded.ids.len();
        encoded.ids.resize(start + grid.tokens(), self.image_token);
        let tokens = start..encoded.ids.len();
        encoded.pictures.push(EncodedPicture { pixels: pixels.clone(), grid, tokens });
        Ok(())
    }

    /// The conversation with special tokens in people's and tools' words taken apart.
    fn plain(&self, messages: &[Message]) -> Vec<Message> {
        let part = |part: &Part| match part {
            Part::Text(text) => Part::Text(self.tokenizer.plain(text)),
            Part::Image(pixels) => Part::Image(pixels.clone()),
        };
        let message = |m: &Message| Message { role: m.role, parts: m.parts.iter().map(part).collect() };
        messages.iter().map(message).collect()
    }

    /// The rendered conversation and the part of it that each message adds.
    fn segments(&self, messages: &[Message], reply: bool) -> Result<(String, Vec<Segment>)> {
        let text = self.template.render(messages, reply)?;
        let mut segments = Vec::with_capacity(messages.len());
        let mut start = 0;
        for count in 1..=messages.len() {
            let until = self.template.render(&messages[..count], false)?;
            if until.len() < start || !text.starts_with(&until) {
                let problem = "the chat template does not build a conversation message by message";
                return Err(Error::Conversation(problem.into()));
            }
            let whole = start..until.len();
            segments.push(Segment { body: body(&text, &whole), whole: whole.clone() });
            start = whole.end;
        }
        Ok((text, segments))
    }
}

/// The author's part of a rendered message; all of it where the template does not frame messages as Qwen's does.
fn body(text: &str, whole: &Range<usize>) -> Range<usize> {
    let message = &text[whole.clone()];
    let Some(start) = message.rfind(MESSAGE_START) else {
        return whole.clone();
    };
    let header = message[start..].find('\n').map_or(message.len(), |newline| start + newline + 1);
    let end = message.rfind(MESSAGE_END).map_or(message.len(), |end| end + MESSAGE_END.len());
    whole.start + header..whole.start + end.max(header)
}

fn pictures_of(messages: &[Message]) -> impl Iterator<Item = &Arc<Rgb8>> {
    messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::Image(pixels) => Some(pixels),
        Part::Text(_) => None,
    })
}
