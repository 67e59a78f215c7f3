//! Tokens to text as they come, and stop texts.

use tokenizers::tokenizer::DecodeStream;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

use crate::engine::EngineError;
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
    stop: Vec<String>,
    text: String,
}

/// What a token added.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// New text; may be empty.
    pub(super) delta: String,
    /// Whether a stop text is complete; the text ends with it.
    pub(super) stopped: bool,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, stop: Vec<String>) -> Self {
        Self { detokenizer: tokenizer.inner().decode_stream(true), stop, text: String::new() }
    }

    pub(super) fn push(&mut self, id: u32) -> Result<Step, EngineError> {
        let added = self.detokenizer.step(id);
        let added =
            added.map_err(|error| EngineError::Internal(format!("token {id} has no text: {error}")))?;
        Ok(self.append(&added.unwrap_or_default()))
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn append(&mut self, added: &str) -> Step {
        let before = self.text.len();
        self.text.push_str(added);
        let end = self.stop.iter().filter_map(|stop| self.end_of(stop, before)).min();
        if let Some(end) = end {
            self.text.truncate(end);
        }
        let delta = self.text.get(before..).unwrap_or_default().to_owned();
        Step { delta, stopped: end.is_some() }
    }

    /// Where a stop text ends that was not complete in the first `before` bytes.
    fn end_of(&self, stop: &str, before: usize) -> Option<usize> {
        if stop.is_empty() {
            return None;
        }
        let from = self.text.floor_char_boundary(before.saturating_sub(stop.len() - 1));
        self.text[from..].find(stop).map(|at| from + at + stop.len())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::models::bpe::BPE;

    use super::*;

    #[test]
    fn a_stop_text_is_found_across_tokens_and_ends_the_text() {
        let tokenizer = Tokenizer::new(tokenizers::Tokenizer::new(BPE::default()), "none".into());
        let stop = ["</answer>".to_owned()];
        let mut stream = TextStream::new(&tokenizer, stop.to_vec());
        assert_eq!(stream.append("Ærø </ans"), Step { delta: "Ærø </ans".into(), stopped: false });
        assert_eq!(stream.append("wer> and more"), Step { delta: "wer>".into(), stopped: true });
        assert_eq!(stream.into_text(), "Ærø </answer>");
    }
}
