//! Servers that parse what the model wrote, as `transformers serve` and vLLM document it.

use loupe_agent::dialect::{Deed, ParsedTurn, QueryContext, Search, by_name};

use super::*;

/// What is made of an answer in these events, in a dialect; and all that was streamed of it.
async fn answered(events: Vec<String>, dialect: &str) -> (loupe_mllm::engine::Completion, String) {
    let (url, _) = start(vec![(200, events)], false).await;
    let spec = RemoteSpec::parse(&format!("openai:{url}"), Some(dialect)).unwrap();
    let remote = Remote::connect(&spec, None, MODEL_PIXELS).await.unwrap();
    let stopping = GenerateRequest { stop: by_name(dialect).unwrap().stop(), max_tokens: 200, ..request() };
    let (sender, mut deltas) = unbounded_channel();
    let completion = remote.generate(stopping, sender).await.unwrap();
    let mut streamed = String::new();
    while let Ok(delta) = deltas.try_recv() {
        streamed.push_str(&delta);
    }
    (completion, streamed)
}

fn understood(text: &str) -> ParsedTurn {
    ParsedTurn::parse(by_name("tool-call").unwrap().parser(&QueryContext::default()), text)
}

/// A turn that searches, as transformers 5.23 sends it.
fn searching() -> Vec<String> {
    let call = json!({ "index": 0, "id": "1_tool_call_0", "type": "function",
        "function": { "name": "text_search", "arguments": "{\"query\": \"capital of \\\"Norway\\\"\"}" } });
    let usage = json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls", "index": 0 }],
        "usage": { "prompt_tokens": 30, "completion_tokens": 25, "total_tokens": 55 } });
    vec![
        delta(&json!({ "role": "assistant" }), None),
        delta(&json!({ "reasoning_content": "I look " }), None),
        delta(&json!({ "reasoning_content": "it up." }), None),
        delta(&json!({ "tool_calls": [call] }), None),
        format!("data: {usage}\n\n"),
    ]
}

#[tokio::test]
async fn a_turn_whose_thoughts_and_call_were_parsed_is_what_the_model_wrote() {
    let (completion, streamed) = answered(searching(), "tool-call").await;
    let text = "<think>I look it up.</think>\n<tool_call>\n{\"name\": \"text_search\", \
        \"arguments\": {\"query\": \"capital of \\\"Norway\\\"\"}}\n</tool_call>";
    assert_eq!((completion.text.as_str(), streamed.as_str()), (text, text));
    assert_eq!((completion.finish, completion.generated_tokens), (Finish::Stop, 25));
    let turn = understood(text);
    assert!(turn.problems.is_empty(), "{:?}", turn.problems);
    assert_eq!(turn.deed(), Ok(Deed::Search(Search::Text("capital of \"Norway\"".into()))));
}

#[tokio::test]
async fn a_call_in_pieces_ends_the_turn_at_its_end() {
    let piece =
        |function: Value| delta(&json!({ "tool_calls": [{ "index": 0, "function": function }] }), None);
    let second = json!({ "tool_calls": [{ "index": 1, "function": { "name": "text_search" } }] });
    let events = vec![
        delta(&json!({ "reasoning": "Hm." }), None),
        piece(json!({ "name": "text_search" })),
        piece(json!({ "arguments": "{\"query\": " })),
        piece(json!({ "arguments": "\"Oslo\"}" })),
        // The first one ends here, and the turn with it.
        delta(&second, None),
        delta(&json!({ "content": "never read" }), Some("tool_calls")),
    ];
    let (completion, streamed) = answered(events, "tool-call").await;
    assert_eq!(completion.finish, Finish::Stop);
    assert!(
        completion.text.ends_with("\"Oslo\"}}\n</tool_call>") && streamed == completion.text,
        "{streamed}"
    );
    assert_eq!(understood(&streamed).deed(), Ok(Deed::Search(Search::Text("Oslo".into()))));
}

#[tokio::test]
async fn a_stop_text_within_a_call_ends_the_turn_there() {
    let (url, _) = start(vec![(200, searching())], false).await;
    let stopping = GenerateRequest { stop: vec!["capital".into()], max_tokens: 200, ..request() };
    let completion = connect(&[&url]).await.generate(stopping, unbounded_channel().0).await.unwrap();
    assert!(completion.text.ends_with("{\"query\": \"capital"), "{}", completion.text);
    assert_eq!((completion.finish, completion.prompt_tokens), (Finish::Stop, 30));
}

#[tokio::test]
async fn a_call_ends_a_turn_that_has_no_stop_texts() {
    let (url, _) = start(vec![(200, searching())], false).await;
    let patient = GenerateRequest { max_tokens: 200, ..request() };
    let completion = connect(&[&url]).await.generate(patient, unbounded_channel().0).await.unwrap();
    assert_eq!(completion.finish, Finish::EndOfTurn);
    assert!(completion.text.ends_with("}}\n</tool_call>"), "{}", completion.text);
}

#[tokio::test]
async fn thoughts_come_before_the_answer_only_in_a_dialect_that_has_them() {
    let events = || {
        vec![
            delta(&json!({ "reasoning_content": "I know it." }), None),
            event("\n\n<answer>Oslo</answer>", None),
            event("", Some("stop")),
        ]
    };
    let (completion, _) = answered(events(), "tool-call").await;
    assert_eq!(completion.text, "<think>I know it.</think>\n\n<answer>Oslo</answer>");
    assert!(understood(&completion.text).problems.is_empty());
    // A teacher that thinks is not to be dropped for it.
    let (completion, streamed) = answered(events(), "deepmm").await;
    assert_eq!((completion.text.trim(), streamed.trim()), ("<answer>Oslo</answer>", "<answer>Oslo</answer>"));
}
