//! A drill below the level of text: tokens in any order, and the same again.
//!
//! A tokenizer has pieces that training text hardly shows alone: "bour" stands in "neighbour", which is a token itself.
//! What is never copied cannot be copied, so "Luxembourg" became "Luxemi". Here every token comes as often as every
//! other.

use std::sync::Arc;

use loupe_mllm::tokenizer::Tokenizer;

use crate::atlas::rng::Rng;
use crate::error::Result;
use crate::learn::example::{Example, ExampleSource, SeenClasses, Turn};

/// Fewest and most tokens of a drill, before they come again.
const LENGTHS: [i32; 2] = [8, 64];

/// A source in which some examples are drills instead.
pub(super) struct Drilled {
    source: Arc<dyn ExampleSource>,
    tokens: Vec<u32>,
    share: f64,
    seed: u64,
}

impl Drilled {
    /// Every token of `tokenizer` but the special ones, in `share` of the examples.
    pub(super) fn new(source: Arc<dyn ExampleSource>, tokenizer: &Tokenizer, share: f64, seed: u64) -> Self {
        let special = tokenizer.inner().get_added_tokens_decoder();
        let ids = 0..tokenizer.inner().get_vocab_size(true) as u32;
        let tokens = ids.filter(|id| special.get(id).is_none_or(|token| !token.special)).collect();
        Self { source, tokens, share, seed }
    }
}

impl ExampleSource for Drilled {
    fn example(&self, index: u64) -> Result<Example> {
        let mut rng = Rng::of(self.seed, "drill", index);
        if !rng.chance(self.share) {
            return self.source.example(index);
        }
        let length = rng.between(LENGTHS[0], LENGTHS[1]);
        let once: Vec<u32> = (0..length).filter_map(|_| rng.pick(&self.tokens).copied()).collect();
        // The first time nothing says what comes.
        let turns = [0.0, 1.0].map(|weight| Turn::Tokens { ids: once.clone(), weight });
        Ok(Example { kind: "drill", turns: turns.into(), seen: Vec::new() })
    }

    fn epoch(&self) -> Option<u64> {
        self.source.epoch()
    }

    fn seen_classes(&self) -> SeenClasses {
        self.source.seen_classes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use loupe_mllm::chat::{Chat, ChatTemplate, DEFAULT_TEMPLATE};
    use loupe_mllm::picture::Preprocessor;
    use loupe_shared::pixels::PixelLimits;

    use super::*;
    use crate::learn::sequence::Sequence;

    struct Nothing;

    impl ExampleSource for Nothing {
        fn example(&self, _index: u64) -> Result<Example> {
            Ok(Example { kind: "other", ..Example::default() })
        }
    }

    #[test]
    fn tokens_come_twice_and_only_the_second_time_is_learnt() {
        let whole = ["<answer>".to_owned()];
        let json = crate::pretrain::tokenizer::train(
            ["a country and its neighbour".to_owned()].into_iter(),
            &whole,
            1_300,
        );
        let inner = tokenizers::Tokenizer::from_bytes(json.unwrap()).unwrap();
        let tokenizer = Tokenizer::new(inner, PathBuf::from("tokenizer.json"));
        let drilled = Drilled::new(Arc::new(Nothing), &tokenizer, 0.5, 1);
        let image_token = tokenizer.id("<|image_pad|>").unwrap();
        let template = ChatTemplate::new(DEFAULT_TEMPLATE.to_owned()).unwrap();
        let preprocessor = Preprocessor::with_limits(PixelLimits::default());
        let chat = Chat { tokenizer, template, preprocessor, image_token };
        let examples: Vec<Example> = (0..200).map(|index| drilled.example(index).unwrap()).collect();
        let drills: Vec<&Example> = examples.iter().filter(|example| example.kind == "drill").collect();
        assert!((60..140).contains(&drills.len()), "{}", drills.len());
        for drill in drills {
            let Sequence { ids, weights, .. } = Sequence::encode(drill, &chat).unwrap();
            let (first, second) = ids.split_at(ids.len() / 2);
            assert_eq!(first, second);
            assert!(!ids.contains(&image_token));
            assert!(weights[..first.len()].iter().all(|weight| *weight == 0.0));
            assert!(weights[first.len()..].iter().all(|weight| *weight == 1.0));
        }
    }
}
