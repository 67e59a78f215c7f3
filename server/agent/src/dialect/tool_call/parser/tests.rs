use loupe_shared::pixels::Region;
use proptest::prelude::*;

use super::super::super::{Deed, Dialect, ParsedTurn, QueryContext, Search};
use super::super::ToolCall;
use super::*;

const CONTEXT: QueryContext =
    QueryContext { view: Some(ViewSize { width: 100, height: 200 }), framed: false, lang: None };

fn parse(text: &str) -> ParsedTurn {
    ParsedTurn::parse(ToolCall.parser(&CONTEXT), text)
}

fn answer(text: &str) -> Deed {
    Deed::Answer(text.to_owned())
}

#[test]
fn what_is_rendered_is_read_back() {
    for deed in [
        Action::ImageSearch(ImageTarget::Whole),
        Action::ImageSearch(ImageTarget::Expression("the left flag".to_owned())),
        Action::ImageSearch(ImageTarget::Region(Region::new(0.25, 0.25, 0.5, 0.5).unwrap())),
        Action::TextSearch("capital of \"Norway\"".to_owned()),
        Action::Answer("Oslo".to_owned()),
    ] {
        let actions = vec![Action::Reason("I look.".to_owned()), deed];
        let turn = parse(&ToolCall.render(&actions, &CONTEXT));
        assert_eq!(turn, ParsedTurn { actions, problems: vec![] });
    }
}

#[test]
fn an_untrained_model_is_understood() {
    assert_eq!(parse("It is Oslo.").deed(), Ok(answer("It is Oslo.")));
    assert_eq!(parse("<think>t</think>\nOslo").deed(), Ok(answer("Oslo")));
    let call = "I look.\n<tool_call>\n{\"name\": \"text_search\", \"arguments\": {\"query\": \"Oslo\"}}";
    let turn = parse(call);
    assert_eq!(turn.deed(), Ok(Deed::Search(Search::Text("Oslo".to_owned()))));
    assert_eq!(turn.actions[0], Action::Reason("I look.".to_owned()));
}

#[test]
fn refuses_what_cannot_be_called() {
    for text in [
        "",
        "<think>t</think>",
        "<answer> </answer>",
        "<tool_call>{\"name\": \"text_search\"",
        "<tool_call>{\"name\": \"fetch\", \"arguments\": {\"url\": \"http://x\"}}</tool_call>",
        "<tool_call>{\"name\": \"text_search\", \"arguments\": {\"query\": \" \"}}</tool_call>",
        "<tool_call>{\"name\": \"image_search\", \"arguments\": {\"bbox_2d\": [5, 5, 5, 5]}}</tool_call>",
        "<tool_call><tool_call>",
        "<tool_response>1. Oslo</tool_response><answer>Oslo</answer>",
    ] {
        assert!(parse(text).deed().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_cut_changes_what_is_understood(
        pieces in prop::collection::vec(
            prop_oneof![prop::sample::select(TAGS).prop_map(str::to_owned), "[ a-zé{}\":<>/]{0,8}"], 0..10)
    ) {
        let mut parser = ToolCallParser::new(None);
        let mut cut = ParsedTurn::default();
        for c in pieces.concat().chars() {
            cut.take(parser.push(c.encode_utf8(&mut [0; 4])));
        }
        cut.take(parser.finish());
        prop_assert_eq!(cut, ParsedTurn::parse(Box::new(ToolCallParser::new(None)), &pieces.concat()));
    }
}
