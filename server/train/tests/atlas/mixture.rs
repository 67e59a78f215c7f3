//! The training mixture: repeatable, blind to what is held out, and of valid grammar.

use std::collections::BTreeSet;

use loupe_agent::dialect::{self, Action, ParsedTurn, QueryContext};
use loupe_mllm::engine::{Part, Role};
use loupe_train::atlas::Split;
use loupe_train::atlas::mixture::real::{RealCountries, mentions};
use loupe_train::atlas::mixture::{Mixture, MixtureConfig, Weights};
use loupe_train::learn::example::{Example, ExampleSource, Turn};

use super::{text_of, world};

const NOTHING: Weights = Weights {
    documents: 0.0,
    repeat: 0.0,
    recall: 0.0,
    descriptions: 0.0,
    grounding: 0.0,
    survey: 0.0,
    glances: 0.0,
    visual: 0.0,
    answers: 0.0,
    trajectories: 0.0,
    text_trajectories: 0.0,
};

fn mixture(seed: u64, weights: Weights, invented: f64) -> Mixture {
    let config = MixtureConfig { seed, weights, invented, ..MixtureConfig::default() };
    Mixture::new(world(), dialect::by_name("deepmm").unwrap(), config)
}

fn words(example: &Example) -> String {
    let turns = example.turns.iter().map(|turn| match turn {
        Turn::Text { text, .. } => text.clone(),
        Turn::Message { message, .. } => text_of(message),
        Turn::Tokens { .. } | Turn::Reply { .. } => panic!("tokens without a text"),
    });
    turns.collect::<Vec<_>>().join("\n")
}

fn digest(mixture: &Mixture) -> String {
    let mut hasher = blake3::Hasher::new();
    for index in 0..60 {
        let example = mixture.example(index).expect("an example");
        hasher.update(words(&example).as_bytes());
        for turn in &example.turns {
            let Turn::Message { message, .. } = turn else { continue };
            for part in &message.parts {
                if let Part::Image(picture) = part {
                    hasher.update(picture.data());
                }
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn an_index_is_the_same_example_every_time() {
    let weights = Weights::default();
    assert_eq!(digest(&mixture(1, weights, 0.7)), digest(&mixture(1, weights, 0.7)));
    assert_ne!(digest(&mixture(1, weights, 0.7)), digest(&mixture(2, weights, 0.7)));
}

#[test]
fn nothing_of_a_held_out_country_is_in_it() {
    let world = world();
    let held_out: Vec<&str> = world
        .entries()
        .iter()
        .filter(|entry| entry.split != Split::Train)
        .map(|entry| entry.country.name.as_str())
        .collect();
    let texts = Weights { documents: 1.0, text_trajectories: 3.0, recall: 1.0, ..NOTHING };
    let mixture = mixture(3, texts, 0.0);
    for index in 0..1_500 {
        let text = words(&mixture.example(index).expect("an example"));
        for name in &held_out {
            assert!(!mentions(&text, name), "{name} in example {index}:\n{text}");
        }
    }
    let train: BTreeSet<usize> = world.asked(Split::Train).into_iter().collect();
    assert!(RealCountries::new(&world).flags().iter().all(|flag| train.contains(flag)));
}

#[test]
fn weights_choose_the_kinds_and_loss_weights_follow_the_roles() {
    let mixture = mixture(4, Weights { grounding: 1.0, visual: 1.0, ..NOTHING }, 0.7);
    let mut kinds = BTreeSet::new();
    for index in 0..40 {
        let example = mixture.example(index).expect("an example");
        kinds.insert(example.kind);
        assert!(!example.seen.is_empty());
        assert!(
            example
                .seen
                .iter()
                .all(|seen| usize::from(seen.class) < mixture.seen_classes().classes && seen.class > 0)
        );
        for turn in &example.turns {
            let Turn::Message { message, weight } = turn else { panic!("plain text in {}", example.kind) };
            assert!((*weight - if message.role == Role::Assistant { 1.0 } else { 0.3 }).abs() < 1e-6);
        }
    }
    assert!(kinds.contains("grounding") && kinds.contains("visual"), "{kinds:?}");
}

#[test]
fn answers_at_once_are_of_valid_grammar_and_stand_in_what_was_read_where_it_was_needed() {
    let deepmm = dialect::by_name("deepmm").unwrap();
    let mixture = mixture(6, Weights { answers: 1.0, ..NOTHING }, 0.7);
    let (mut read, mut needless, mut seen) = (0, 0, 0);
    for index in 0..100 {
        let example = mixture.example(index).expect("an example");
        let messages: Vec<_> = example
            .turns
            .iter()
            .map(|turn| match turn {
                Turn::Message { message, .. } => message,
                Turn::Text { .. } | Turn::Tokens { .. } | Turn::Reply { .. } => panic!("no message"),
            })
            .collect();
        let [asked, answered] = messages[..] else { panic!("{} turns", messages.len()) };
        let turn = ParsedTurn::parse(deepmm.parser(&QueryContext::default()), &text_of(answered));
        assert!(turn.problems.is_empty(), "{:?}", turn.problems);
        let [Action::Reason(reason), Action::Answer(answer)] = &turn.actions[..] else { panic!("{turn:?}") };
        match (text_of(asked).contains("<information>"), reason.contains("see")) {
            (true, true) => needless += 1,
            (true, false) => {
                read += 1;
                assert!(text_of(asked).contains(answer), "{answer} is not in {}", text_of(asked));
            }
            (false, _) => seen += 1,
        }
    }
    assert!(read > 40 && needless > 15 && seen > 10, "{read} {needless} {seen}");
}

#[test]
fn trajectories_are_of_valid_grammar_and_copy_what_was_found() {
    let deepmm = dialect::by_name("deepmm").unwrap();
    let mixture = mixture(5, Weights { trajectories: 1.0, text_trajectories: 2.0, ..NOTHING }, 0.7);
    for index in 0..150 {
        let example = mixture.example(index).expect("an example");
        let mut told = String::new();
        let mut answers = 0;
        for turn in &example.turns {
            let Turn::Message { message, .. } = turn else { panic!("plain text") };
            let text = text_of(message);
            if message.role != Role::Assistant {
                told.push_str(&text);
                continue;
            }
            let turn = ParsedTurn::parse(deepmm.parser(&QueryContext::default()), &text);
            assert!(turn.problems.is_empty(), "{:?} in {text}", turn.problems);
            for action in turn.actions {
                match action {
                    Action::TextSearch(query) => {
                        let (_, name) = query.split_once(" of ").unwrap();
                        assert!(told.contains(name), "{name} was not found before:\n{told}");
                    }
                    Action::Answer(answer) => {
                        answers += 1;
                        assert!(told.contains(&answer), "{answer} was not found before:\n{told}");
                    }
                    Action::Reason(_) | Action::ImageSearch(_) => {}
                }
            }
        }
        assert_eq!(answers, 1);
    }
}
