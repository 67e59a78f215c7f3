//! Tokens to text as they come.

use tokenizers::tokenizer::DecodeStream;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

use crate::engine::{Added, EngineError, StopTexts};
use crate::tokenizer::Tokenizer;

type Detokenizer<'a> = DecodeStream<
    'a,
    ModelWrapper,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// The text of a turn as it grows. A character whose bytes come in several tokens appears with the last of them.
pub(super) struct TextStream<'a> {
    detokenizer: Detokenizer<'a>,
    text: StopTexts,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, stop: Vec<String>) -> Self {
        Self { detokenizer: tokenizer.inner().decode_stream(true), text: StopTexts::new(stop) }
    }

    pub(super) fn push(&mut self, id: u32) -> Result<Added, EngineError> {
        let added = self.detokenizer.step(id);
        let added =
            added.map_err(|error| EngineError::Internal(format!("token {id} has no text: {error}")))?;
        Ok(self.text.push(&added.unwrap_or_default()))
    }

    pub(super) fn into_text(self) -> String {
        self.text.into_text()
    }
}
