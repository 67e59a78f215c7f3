//! Runs that end with an answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy excuses test functions, but not their helpers"
)]

mod common;

use common::{Ran, Setting, framed, hit, query, text, words};
use loupe_agent::dialect::GIVE_UP;
use loupe_agent::host::{EarlierTurn, Query};
use loupe_shared::protocol::{CropBy, Envelope, Event, ToolTarget, Workflow};

const WHOLE: &str = "<reason>I look up the picture.</reason><img_search><img></img_search>";
const PART: &str = "<reason>I look up the flag.</reason><img_search>the flag on the left</img_search>";
const BOX: &str = "{\"bbox_2d\": [56, 56, 112, 112]}";
const CAPITAL: &str = "<reason>It is Norway.</reason><text_search>capital of Norway</text_search>";
const OSLO: &str = "<reason>The page says so.</reason><answer>Oslo</answer>";

fn crop_used(ran: &Ran) -> (CropBy, Option<[f64; 4]>) {
    let used =
        ran.events.iter().find_map(|event| if let Event::CropUsed(used) = event { Some(used) } else { None });
    let used = used.expect("a picture was searched");
    (used.by, used.region.map(|r| [r.x(), r.y(), r.w(), r.h()]))
}

#[tokio::test]
async fn a_part_is_found_searched_and_read_about() {
    let ran = Setting::norway(vec![text(PART), text(BOX), text(CAPITAL), text(OSLO)])
        .run(query("What is the capital of the country whose flag is on the left?"))
        .await;
    insta::assert_json_snapshot!(log(&ran));
    insta::assert_snapshot!(ran.model.prompts().join("\n====\n"));
}

#[tokio::test]
async fn every_decode_of_a_run_uses_its_adapter() {
    for adapter in [None, Some("tuned")] {
        let mut asked = query("What is the capital of the country whose flag is on the left?");
        asked.adapter = adapter.map(Into::into);
        let ran = Setting::norway(vec![text(PART), text(BOX), text(CAPITAL), text(OSLO)]).run(asked).await;
        let requests = ran.model.asked.lock().unwrap();
        assert_eq!(requests.len(), 4, "three turns, and where the flag is");
        assert!(requests.iter().all(|request| request.adapter.as_deref() == adapter));
    }
}

/// The events as `kind data`, without what differs from run to run.
fn log(ran: &Ran) -> Vec<(String, serde_json::Value)> {
    let mut log: Vec<(String, serde_json::Value)> = Vec::new();
    for event in &ran.events {
        let mut data = Envelope::new(1, 0, event).data;
        if let Some(took) = data.get_mut("took_ms") {
            *took = 0.into();
        }
        if let Some(usage) = data.get_mut("usage") {
            usage["first_token_ms"] = 0.into();
            usage["tokens_per_second"] = 0.into();
        }
        match log.last_mut() {
            Some((kind, so_far)) if kind.ends_with(".delta") && kind == event.kind() => {
                let joined =
                    format!("{}{}", so_far["text"].as_str().unwrap(), data["text"].as_str().unwrap());
                so_far["text"] = joined.into();
            }
            _ => log.push((event.kind().to_owned(), data)),
        }
    }
    log
}

#[tokio::test]
async fn the_whole_of_a_framed_picture_is_what_was_framed() {
    let ran = Setting::norway(vec![text(WHOLE), text("<reason>r</reason><answer>Norway</answer>")])
        .run(framed("Whose flag is this?"))
        .await;
    assert_eq!(ran.answer(), "Norway");
    assert_eq!(crop_used(&ran), (CropBy::Browser, Some([0.0, 0.0, 0.5, 0.5])));
    assert!(ran.model.prompts()[0].starts_with("[448x448][200x100]Question: "));
    let cited = ran.events.iter().filter(|event| matches!(event, Event::Citation(_))).count();
    assert_eq!(cited, 1);
}

#[tokio::test]
async fn a_box_that_cannot_be_read_is_asked_for_again_and_then_the_whole_is_searched() {
    let answer = "<reason>r</reason><answer>Norway</answer>";
    let again = Setting::norway(vec![text(PART), text("on the left"), text(BOX), text(answer)]);
    assert!(matches!(crop_used(&again.run(query("Whose?")).await), (CropBy::Server, Some(_))));

    let lost = vec![text(PART), text("on the left"), text("{\"bbox_2d\": [9, 9, 9, 9]}"), text(answer)];
    let ran = Setting::norway(lost).run(framed("Whose?")).await;
    assert_eq!(crop_used(&ran), (CropBy::Server, None), "the whole picture, not what was framed");
    assert!(
        ran.model.prompts()[3]
            .contains("The part was not found, so the whole picture was searched.\n1. Flag of")
    );
    assert_eq!(ran.answer(), "Norway");
}

#[tokio::test]
async fn a_question_that_needs_no_search_is_answered_at_once() {
    let ran =
        Setting::new(vec![text("<reason>I count.</reason><answer>3</answer>")]).run(query("How many?")).await;
    assert_eq!(ran.kinds(), ["started", "reason.delta", "answer.delta", "done"]);
}

#[tokio::test]
async fn a_question_without_a_picture_can_only_search_words() {
    let mut words_only = query("What is the capital of Norway?");
    words_only.pictures.clear();
    let ran = Setting::norway(vec![text(WHOLE), text(CAPITAL), text(OSLO)]).run(words_only).await;
    assert_eq!(ran.answer(), "Oslo");
    let prompts = ran.model.prompts();
    assert!(!prompts[0].contains("img_search"), "{}", prompts[0]);
    assert!(prompts[1].contains("the question has no picture"), "{}", prompts[1]);
}

#[tokio::test]
async fn finding_nothing_is_told_and_giving_up_is_an_answer() {
    let give_up = format!("<reason>r</reason><answer>{GIVE_UP}</answer>");
    let ran = Setting::new(vec![text(CAPITAL), text(&give_up)]).run(query("?")).await;
    assert_eq!(ran.answer(), GIVE_UP);
    assert!(ran.model.prompts()[1].contains("Nothing was found."));
}

#[tokio::test]
async fn direct_answers_without_tools() {
    let mut direct = query("What is the capital?");
    direct.workflow = Workflow::Direct;
    let ran = Setting::norway(vec![text(CAPITAL), text(OSLO)]).run(direct).await;
    assert_eq!(ran.kinds(), ["started", "reason.delta", "answer.delta", "done"], "the search was refused");
    assert!(ran.text.queries.lock().unwrap().is_empty());
}

#[tokio::test]
async fn rag_searches_the_picture_then_the_words_then_answers() {
    let mut rag = query("What is the capital?");
    rag.workflow = Workflow::Rag;
    let ran = Setting::norway(vec![text(OSLO)]).run(rag).await;
    let kinds = [
        "started",
        "tool.call",
        "crop.used",
        "tool.result",
        "tool.call",
        "tool.result",
        "reason.delta",
        "answer.delta",
    ];
    assert_eq!(ran.kinds()[..8], kinds);
    assert_eq!(*ran.text.queries.lock().unwrap(), ["What is the capital? Flag of Norway"]);
    assert!(ran.model.prompts()[0].contains("1. Flag of Norway\n2. Flag of Iceland\nNothing was found."));
}

#[tokio::test]
async fn a_tool_call_model_gives_boxes_itself() {
    let call = "<think>t</think><tool_call>\n{\"name\": \"image_search\", \"arguments\": {\"bbox_2d\": [56, 56, 112, 112]}}\n</tool_call>";
    let mut setting = Setting::norway(vec![text(call), text("It is Norway.")]);
    setting.dialect = "tool-call";
    let ran = setting.run(query("Whose flag?")).await;
    assert_eq!(ran.answer(), "It is Norway.");
    let asked = ran.model.asked.lock().unwrap();
    assert!(words(&asked[0].messages[0]).contains("# Tools"));
    assert!(words(asked[1].messages.last().unwrap()).starts_with("<tool_response>\n1. Flag of Norway"));
    let target =
        ran.events.iter().find_map(|e| if let Event::ToolCall(call) = e { Some(&call.target) } else { None });
    assert!(matches!(target, Some(ToolTarget::Region(region)) if !region.is_whole()));
}

#[tokio::test]
async fn earlier_questions_come_before_this_one() {
    let mut follow_up = query("And its currency?");
    follow_up.earlier = vec![EarlierTurn { question: "Its capital?".to_owned(), answer: "Oslo".to_owned() }];
    let ran = Setting::new(vec![text("<reason>r</reason><answer>krone</answer>")]).run(follow_up).await;
    let asked = ran.model.asked.lock().unwrap();
    let told: Vec<String> = asked[0].messages.iter().map(words).collect();
    assert_eq!(told[..2], ["Question: Its capital?", "<answer>Oslo</answer>"]);
    assert!(told[2].starts_with("[448x448]Question: And its currency?"));
}

#[tokio::test]
async fn what_was_written_validly_stays_word_for_word() {
    let odd = "<reason>two\nlines</reason>\n\n<text_search> capital of Norway </text_search>";
    let ran = Setting::norway(vec![text(odd), text(OSLO)]).run(query("?")).await;
    let asked = ran.model.asked.lock().unwrap();
    assert_eq!(words(&asked[1].messages[1]), odd);
    assert_eq!(*ran.text.queries.lock().unwrap(), ["capital of Norway"]);
}

#[tokio::test]
async fn a_hit_of_another_language_is_cited_too() {
    let mut setting = Setting::new(vec![
        text("<reason>r</reason><text_search>日本の首都</text_search>"),
        text("<reason>r</reason><answer>東京です。</answer>"),
    ]);
    setting.text =
        common::Table::default().with("日本の首都", Ok(vec![hit(1, "日本", "日本の首都は東京である。")]));
    let ran = setting.run(query("日本の首都は？")).await;
    assert_eq!(ran.kinds().iter().filter(|kind| **kind == "citation").count(), 1);
}

#[tokio::test]
async fn a_constrained_run_holds_each_turn_to_what_may_be_done_in_it() {
    let script =
        || vec![text("<reason>r</reason>\n<text_search>capital of Norway</text_search>"), text(OSLO)];
    let asked = |constrain: bool, workflow: Workflow| async move {
        let ran = Setting::norway(script()).run(Query { constrain, workflow, ..query("?") }).await;
        let asked = ran.model.asked.lock().unwrap();
        asked.iter().map(|request| request.grammar.clone()).collect::<Vec<_>>()
    };
    assert!(asked(false, Workflow::Agent).await.iter().all(Option::is_none));
    let grammars = asked(true, Workflow::Agent).await;
    let open = grammars[0].as_ref().unwrap().as_str();
    assert!(open.contains("deed: image | text | answer"), "{open}");
    let grammars = asked(true, Workflow::Direct).await;
    let closed = grammars[0].as_ref().unwrap().as_str();
    assert!(closed.contains("deed: answer"), "{closed}");
}
