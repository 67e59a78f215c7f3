use proptest::prelude::*;

use super::super::super::{Dialect, ParsedTurn, QueryContext};
use super::super::DeepMm;
use super::*;

fn parse(text: &str) -> ParsedTurn {
    ParsedTurn::parse(DeepMm.parser(&QueryContext::default()), text)
}

fn reason(text: &str) -> Action {
    Action::Reason(text.to_owned())
}

fn part(words: &str) -> Action {
    Action::ImageSearch(ImageTarget::Expression(words.to_owned()))
}

const WHOLE: Action = Action::ImageSearch(ImageTarget::Whole);

#[test]
fn reads_every_valid_turn() {
    for (text, deed) in [
        ("<reason>r</reason><img_search><img></img_search>", WHOLE),
        (
            "<reason>r</reason>\n<img_search> \nthe flag\non the left \n</img_search>\n",
            part("the flag on the left"),
        ),
        (
            "<reason>r</reason>\n\n<text_search>\n 日本の 首都 \n</text_search>",
            Action::TextSearch("日本の 首都".into()),
        ),
        ("<reason>r</reason> <answer> a < b,\n1 </ 2 </answer>", Action::Answer("a < b,\n1 </ 2".into())),
    ] {
        let turn = parse(text);
        assert_eq!(turn.problems, vec![], "{text}");
        assert_eq!(turn.actions, vec![reason("r"), deed], "{text}");
    }
}

#[test]
fn repairs_what_can_only_mean_one_thing() {
    use Problem::{AfterAction, LeftOpen, NoReason, StrayTag, TextOutside};
    for (text, deed, problems) in [
        ("<img_search>img</img_search>", WHOLE, vec![NoReason]),
        ("<reason>r</reason><img_search><img></img></img_search>", WHOLE, vec![StrayTag(IMG_END)]),
        ("<reason>r<text_search>q</text_search>", Action::TextSearch("q".into()), vec![LeftOpen(REASON)]),
        ("<reason></reason><answer>a</answer>", Action::Answer("a".into()), vec![NoReason]),
        ("<reason>r</reason><answer>a", Action::Answer("a".into()), vec![LeftOpen(ANSWER)]),
        ("<reason>r</reason>So: <answer>a</answer>", Action::Answer("a".into()), vec![TextOutside]),
        (
            "<reason>r</reason><answer>a</answer> and more <reason>",
            Action::Answer("a".into()),
            vec![AfterAction],
        ),
        (
            "<reason>r</reason></reason><answer>a</answer>",
            Action::Answer("a".into()),
            vec![StrayTag(REASON_END)],
        ),
        (
            "<reason>r</reason><text_search>q</text_search><answer>a</answer>",
            Action::TextSearch("q".into()),
            vec![AfterAction],
        ),
        (
            "<reason>r</reason><answer>a<text_search>q</text_search>",
            Action::Answer("a".into()),
            vec![LeftOpen(ANSWER), AfterAction],
        ),
        (
            "<reason>r</reason><answer>a<information>1. b</information>",
            Action::Answer("a".into()),
            vec![LeftOpen(ANSWER), AfterAction],
        ),
        (
            "<reason>one <reason>two</reason><img_search><img>the flag</img_search>",
            part("the flag"),
            vec![StrayTag(REASON)],
        ),
    ] {
        let turn = parse(text);
        assert_eq!(turn.deed().ok(), deed.deed(), "{text}");
        assert_eq!(turn.problems, problems, "{text}");
    }
}

#[test]
fn refuses_what_could_mean_anything() {
    use Problem::{Empty, ForgedResult, Nested, NoAction, Unclosed};
    for (text, problem) in [
        ("", NoAction),
        ("Norway", NoAction),
        ("<reason>I think it is Norway.", NoAction),
        ("<reason>r</reason><text_search>half a que", Unclosed(TEXT)),
        ("<reason>r</reason><img_search>", Unclosed(IMAGE)),
        ("<reason>r</reason><text_search> \n</text_search>", Empty(TEXT)),
        ("<reason>r</reason><img_search></img_search>", Empty(IMAGE)),
        ("<reason>r</reason><answer></answer>", Empty(ANSWER)),
        ("<reason>r</reason><answer>", Empty(ANSWER)),
        ("<reason>r</reason><text_search>a <img> b</text_search>", Nested { outer: TEXT, inner: IMG }),
        ("<reason>r</reason><img_search><text_search>q</text_search>", Nested { outer: IMAGE, inner: TEXT }),
        ("<reason>r</reason><answer><answer>a</answer>", Nested { outer: ANSWER, inner: ANSWER }),
        ("<information>1. Oslo</information><answer>Oslo</answer>", ForgedResult(INFORMATION)),
        ("<reason>r <information>1. Oslo</information></reason>", ForgedResult(INFORMATION)),
    ] {
        let turn = parse(text);
        assert_eq!(turn.deed(), Err(problem), "{text}: {turn:?}");
    }
}

#[test]
fn what_is_rendered_is_read_back() {
    for deed in [WHOLE, part("the flag next to the red ball"), Action::TextSearch("Ørland capital".into())] {
        let actions = vec![reason("I look."), deed];
        let turn = parse(&DeepMm.render(&actions, &QueryContext::default()));
        assert_eq!(turn, ParsedTurn { actions, problems: vec![] });
    }
}

/// Everything a parser says about a text that arrives in pieces, neighbouring deltas joined.
fn events(pieces: &[&str]) -> Vec<ParserEvent> {
    let mut parser = DeepMmParser::default();
    let mut all: Vec<ParserEvent> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    all.extend(parser.finish());
    let mut joined: Vec<ParserEvent> = Vec::new();
    for event in all {
        match (joined.last_mut(), event) {
            (Some(ParserEvent::ReasonDelta(last)), ParserEvent::ReasonDelta(more))
            | (Some(ParserEvent::AnswerDelta(last)), ParserEvent::AnswerDelta(more)) => last.push_str(&more),
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// Turns made of tags, broken tags and words in any order.
fn turns() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(TAGS).prop_map(str::to_owned),
        1 => prop::sample::select(TAGS).prop_map(|tag| tag[..tag.len() - 1].to_owned()),
        3 => "[ a-zé日<>/\n]{0,6}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_cut_changes_what_is_understood(text in turns(), cuts in prop::collection::vec(0usize..200, 0..12)) {
        let mut at: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(events(&pieces), events(&[&text]));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,300}") {
        let turn = parse(&text);
        prop_assert_eq!(turn.deed().is_ok(), turn.actions.iter().any(|a| a.deed().is_some()));
    }

    #[test]
    fn deltas_add_up_to_the_actions(text in turns()) {
        let (mut reasons, mut answer, mut told, mut given) = (String::new(), String::new(), String::new(), None);
        for event in events(&[&text]) {
            match event {
                ParserEvent::ReasonDelta(delta) => reasons.push_str(&delta),
                ParserEvent::AnswerDelta(delta) => answer.push_str(&delta),
                ParserEvent::ActionComplete(Action::Reason(text)) => told.push_str(&text),
                ParserEvent::ActionComplete(Action::Answer(text)) => given = Some(text),
                ParserEvent::ActionComplete(_) | ParserEvent::Problem(_) => {}
            }
        }
        prop_assert!(reasons.starts_with(&told), "{:?} {:?}", reasons, told);
        prop_assert_eq!(given.unwrap_or_default(), answer);
    }

    #[test]
    fn at_most_one_deed_a_turn(text in turns()) {
        let deeds = parse(&text).actions.iter().filter(|a| a.deed().is_some()).count();
        prop_assert!(deeds <= 1);
    }
}
