//! Grammars that a turn is held to: before each token, those that could not go on in the grammar are left out.
//!
//! [llguidance](https://docs.rs/llguidance) computes which; grammars are written in its dialect of Lark.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory, token_bytes_from_tokenizer_json};
use serde_json::Value;

use crate::engine::EngineError;
use crate::lm::TokenSet;
use crate::tokenizer::Tokenizer;

/// A grammar in llguidance's dialect of Lark; its rule `start` is the whole turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grammar(Arc<str>);

impl Grammar {
    /// A grammar of this text; whether it can be read shows when it is used.
    #[must_use]
    pub fn lark(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Grammars over the tokens of a tokenizer.
pub(crate) struct Grammars {
    factory: ParserFactory,
    end_ids: Vec<u32>,
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").field("end_ids", &self.end_ids).finish_non_exhaustive()
    }
}

impl Grammars {
    /// Reads the bytes of every token; takes a moment with a large vocabulary. A turn is over with any of `end_ids`.
    ///
    /// # Errors
    /// When the tokenizer is not one of bytes, or no token ends a turn.
    pub(crate) fn new(tokenizer: &Tokenizer, end_ids: &[u32]) -> Result<Self, EngineError> {
        let unfit = |problem: String| {
            EngineError::Input(format!("this model's turns cannot be held to a grammar: {problem}"))
        };
        let json = tokenizer.inner().to_string(false).map_err(|error| unfit(error.to_string()))?;
        let json: Value = serde_json::from_str(&json).map_err(|error| unfit(error.to_string()))?;
        // llguidance panics on some tokenizers of other kinds, and Qwen's is of this one.
        if json["decoder"]["type"] != "ByteLevel" {
            return Err(unfit("its tokenizer does not decode bytes (ByteLevel)".into()));
        }
        let words = token_bytes_from_tokenizer_json(&json).map_err(|error| unfit(error.to_string()))?;
        let end = end_ids.first().filter(|end| (**end as usize) < words.len());
        let end = *end.ok_or_else(|| unfit("no token ends a turn".into()))?;
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words);
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&tokens).map_err(|error| unfit(error.to_string()))?;
        factory.quiet();
        Ok(Self { factory, end_ids: end_ids.to_vec() })
    }

    /// The mask of a turn that begins.
    ///
    /// # Errors
    /// When the grammar cannot be read.
    pub(crate) fn mask(&self, grammar: &Grammar) -> Result<Mask, EngineError> {
        let parser = self.factory.create_parser(TopLevelGrammar::from_lark(grammar.0.to_string()));
        let parser =
            parser.map_err(|error| EngineError::Input(format!("the grammar cannot be read: {error}")))?;
        Ok(Mask { matcher: Matcher::new(Ok(parser)), end_ids: self.end_ids.clone() })
    }
}

/// Where a turn is in its grammar.
pub(crate) struct Mask {
    matcher: Matcher,
    end_ids: Vec<u32>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}

impl Mask {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// When the grammar's limits are exceeded.
    pub(crate) fn allowed(&mut self) -> Result<TokenSet, EngineError> {
        let tokens = self.matcher.compute_mask_or_eos().map_err(beyond)?;
        let mut allowed = TokenSet::of_words(tokens.as_slice().to_vec());
        if self.end_ids.first().is_some_and(|end| allowed.has(*end)) {
            self.end_ids.iter().for_each(|end| allowed.insert(*end));
        }
        Ok(allowed)
    }

    /// Goes on by a token that was allowed and does not end the turn.
    ///
    /// # Errors
    /// When the token was not allowed.
    pub(crate) fn push(&mut self, id: u32) -> Result<(), EngineError> {
        self.matcher.consume_token(id).map_err(beyond)
    }
}

fn beyond(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!("the grammar cannot go on: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::checkpoint::{self, Files};

    fn grammars() -> (Tokenizer, Grammars) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl/tied");
        let files = Files::folder(&folder);
        let tokenizer = Tokenizer::open(&files, &checkpoint::read_config(&files).unwrap()).unwrap();
        let end = tokenizer.id(crate::tokenizer::MESSAGE_END).unwrap();
        let pad = tokenizer.id("<|endoftext|>").unwrap();
        let grammars = Grammars::new(&tokenizer, &[end, pad]).unwrap();
        (tokenizer, grammars)
    }

    #[test]
    fn only_what_goes_on_in_the_grammar_is_allowed_and_its_end_by_any_end_token() {
        let (tokenizer, grammars) = grammars();
        let mut mask = grammars.mask(&Grammar::lark("start: \"<a>\" /[a-z]+/ \"</a>\"")).unwrap();
        let ids = |text: &str| tokenizer.encode(text).unwrap().get_ids().to_vec();
        let end = grammars.end_ids[0];
        for text in ["<", "a", ">", "w", "or", "d", "</", "a", ">"] {
            let allowed = mask.allowed().unwrap();
            assert!(!allowed.has(end) && !allowed.has(ids("9")[0]), "before {text}");
            for id in ids(text) {
                assert!(mask.allowed().unwrap().has(id), "{text}");
                mask.push(id).unwrap();
            }
        }
        let allowed = mask.allowed().unwrap();
        assert!(grammars.end_ids.iter().all(|end| allowed.has(*end)));
        assert!(!allowed.has(ids("a")[0]));
        assert!(!allowed.has(u32::MAX), "an id that no token has");
    }

    #[test]
    fn a_grammar_that_cannot_be_read_is_bad_input() {
        let (_, grammars) = grammars();
        let error = grammars.mask(&Grammar::lark("start: nowhere")).unwrap_err();
        assert!(matches!(&error, EngineError::Input(problem) if problem.contains("nowhere")), "{error}");
    }

    #[test]
    fn a_token_that_was_not_allowed_is_an_error() {
        let (tokenizer, grammars) = grammars();
        let mut mask = grammars.mask(&Grammar::lark("start: \"b\"")).unwrap();
        mask.allowed().unwrap();
        assert!(mask.push(tokenizer.encode("a").unwrap().get_ids()[0]).is_err());
    }
}
