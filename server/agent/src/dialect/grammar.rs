//! What a turn may be, as a grammar that decoding can be held to ([`Dialect::grammar`](super::Dialect::grammar)).

/// What a turn may do besides answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choices {
    /// Search by picture.
    pub image_search: bool,
    /// Search by words.
    pub text_search: bool,
}

/// A rule `name` for every choice that there is, `answer` always, as the alternatives of a rule.
pub(super) fn alternatives(choices: Choices) -> String {
    let rules = [("image", choices.image_search), ("text", choices.text_search), ("answer", true)];
    let rules: Vec<&str> = rules.into_iter().filter(|(_, is_open)| *is_open).map(|(rule, _)| rule).collect();
    rules.join(" | ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use llguidance::api::TopLevelGrammar;
    use llguidance::toktrie::{ApproximateTokEnv, TokEnv};
    use llguidance::{Matcher, ParserFactory};
    use loupe_mllm::grammar::Grammar;
    use proptest::prelude::*;

    use super::super::{Dialect, ParsedTurn, Problem, QueryContext, ViewSize, by_name};
    use super::*;

    pub(in super::super) fn matcher(grammar: &Grammar) -> Matcher {
        let bytes: TokEnv = Arc::new(ApproximateTokEnv::single_byte());
        let mut factory = ParserFactory::new_simple(&bytes).unwrap();
        let parser = factory.quiet().create_parser(TopLevelGrammar::from_lark(grammar.as_str().to_owned()));
        Matcher::new(Ok(parser.unwrap()))
    }

    /// Whether a text is what a grammar describes.
    pub(in super::super) fn accepts(grammar: &Grammar, text: &str) -> bool {
        let mut matcher = matcher(grammar);
        let read = text.bytes().all(|byte| matcher.consume_token(byte.into()).is_ok());
        read && matcher.is_accepting().unwrap()
    }

    const ALL: Choices = Choices { image_search: true, text_search: true };

    fn context() -> QueryContext {
        QueryContext { view: Some(ViewSize { width: 224, height: 224 }), framed: false, lang: None }
    }

    fn dialects() -> Vec<Box<dyn Dialect>> {
        ["deepmm", "tool-call"].map(|name| by_name(name).unwrap()).into()
    }

    #[test]
    fn what_is_rendered_for_training_is_allowed() {
        use super::super::{Action, ImageTarget};
        let reason = || Action::Reason("The flag is Norway's, \"surely\".".into());
        let deeds = [
            Action::Answer("Ærø, 12 km".into()),
            Action::TextSearch("capital of Côte d'Ivoire".into()),
            Action::ImageSearch(ImageTarget::Whole),
            Action::ImageSearch(ImageTarget::Expression("the flag on the left".into())),
        ];
        for dialect in dialects() {
            let all = dialect.grammar(ALL, &context());
            let answer = dialect.grammar(Choices::default(), &context());
            for deed in &deeds {
                let turn = dialect.render(&[reason(), deed.clone()], &context());
                assert!(accepts(&all, &turn), "{}: {turn}", dialect.name());
                let is_answer = matches!(deed, Action::Answer(_));
                assert_eq!(accepts(&answer, &turn), is_answer, "{}: {turn}", dialect.name());
            }
            assert!(!accepts(&all, "Oslo."));
        }
    }

    #[test]
    fn boxes_are_allowed_as_they_are_rendered() {
        for dialect in dialects() {
            let grammar = dialect.box_grammar();
            assert!(accepts(&grammar, &dialect.render_box([0, 28, 112, 1084])));
            assert!(!accepts(&grammar, "{\"bbox_2d\": [1, 2, 3]}"));
        }
    }

    proptest! {
        /// Whatever a grammar allows, the dialect's parser reads without a problem.
        #[test]
        fn what_is_allowed_is_valid(steps in prop::collection::vec(any::<u8>(), 400), image in any::<bool>(), text in any::<bool>()) {
            for dialect in dialects() {
                let choices = Choices { image_search: image, text_search: text };
                let mut matcher = matcher(&dialect.grammar(choices, &context()));
                let mut turn = Vec::new();
                for step in &steps {
                    let mask = matcher.compute_mask_or_eos().unwrap();
                    let allowed: Vec<u32> = (0..256).filter(|byte| mask.is_allowed(*byte)).collect();
                    if matcher.is_stopped() || allowed.is_empty() {
                        break;
                    }
                    // Tags are rare among all bytes, and each turn has to end.
                    let close = allowed.iter().find(|byte| **byte == u32::from(b'<') && step % 4 == 0);
                    let byte = close.copied().unwrap_or_else(|| allowed[usize::from(*step) % allowed.len()]);
                    matcher.consume_token(byte).unwrap();
                    turn.push(byte as u8);
                }
                if !matcher.is_accepting().unwrap_or(false) {
                    continue;
                }
                let turn = String::from_utf8(turn).unwrap();
                let parsed = ParsedTurn::parse(dialect.parser(&context()), &turn);
                // Which numbers make a box is beyond a grammar.
                if matches!(parsed.problems[..], [Problem::BadArguments(_)]) && turn.contains("bbox_2d") {
                    continue;
                }
                prop_assert!(parsed.problems.is_empty(), "{}: {turn:?}: {:?}", dialect.name(), parsed.problems);
                prop_assert!(parsed.deed().is_ok());
            }
        }
    }
}
