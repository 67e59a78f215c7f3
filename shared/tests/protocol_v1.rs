//! Protocol version 1 as it is on the wire. The files under tests/golden/protocol were written by hand from the
//! design; a reader or writer that no longer agrees with them breaks stored runs and shared links.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use loupe_shared::protocol::{Envelope, Event, QueryRequest, RunState, Status, Step, StepResult};
use serde_json::{Value, json};

const RUN: &str = include_str!("../../tests/golden/protocol/v1-run.jsonl");
const ENDS: &str = include_str!("../../tests/golden/protocol/v1-ends.jsonl");
const QUERY: &str = include_str!("../../tests/golden/protocol/v1-query.json");

fn envelopes(text: &str) -> Vec<Envelope> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn folded(envelopes: &[Envelope]) -> RunState {
    let mut state = RunState::default();
    for envelope in envelopes {
        state.apply(envelope.seq, &envelope.event().unwrap());
    }
    state
}

#[test]
fn every_kind_is_read_and_written_back_unchanged() {
    for line in RUN.lines().chain(ENDS.lines()) {
        let envelope: Envelope = serde_json::from_str(line).unwrap();
        let again = Envelope::new(envelope.seq, envelope.at, &envelope.event().unwrap());
        let (want, got): (Value, Value) = (serde_json::from_str(line).unwrap(), json!(again));
        assert_eq!(got, want);
    }
}

#[test]
fn the_golden_run_holds_every_known_kind() {
    let mut kinds: Vec<_> = envelopes(RUN).into_iter().chain(envelopes(ENDS)).map(|e| e.kind).collect();
    kinds.sort();
    kinds.dedup();
    let known = [
        "answer.delta",
        "cancelled",
        "citation",
        "crop.request",
        "crop.used",
        "done",
        "error",
        "queued",
        "reason.delta",
        "started",
        "tool.call",
        "tool.failed",
        "tool.result",
    ];
    assert!(known.iter().all(|kind| kinds.iter().any(|k| k == kind)), "{kinds:?}");
}

#[test]
fn an_unknown_kind_is_kept_with_its_payload() {
    let unknown = envelopes(RUN).into_iter().find(|e| e.kind == "weather.changed").unwrap();
    let Event::Unknown { kind, data } = unknown.event().unwrap() else { panic!("not kept as unknown") };
    assert_eq!((kind.as_str(), &data["sunny"]), ("weather.changed", &json!(true)));
}

#[test]
fn a_known_kind_with_a_wrong_payload_names_the_event() {
    let bad: Envelope =
        serde_json::from_value(json!({"v":1,"seq":7,"at":0,"kind":"queued","data":{"position":"first"}}))
            .unwrap();
    let message = bad.event().unwrap_err().to_string();
    assert!(message.contains("event 7 (queued)"), "{message}");
}

#[test]
fn fields_added_later_are_ignored() {
    let newer: Envelope = serde_json::from_value(
        json!({"v":1,"seq":1,"at":0,"kind":"answer.delta","data":{"text":"a","mood":"sunny"},"trace":"x"}),
    )
    .unwrap();
    assert!(matches!(newer.event().unwrap(), Event::AnswerDelta(delta) if delta.text == "a"));
}

#[test]
fn the_fold_tells_the_run() {
    let events = envelopes(RUN);
    let state = folded(&events);
    assert_eq!((state.status, state.answer.as_str(), state.seq), (Status::Done, "Oslo", 15));
    assert_eq!(state.steps.len(), 4);
    assert!(matches!(&state.steps[0], Step::Reason { text } if text == "I need the flag on the left."));
    let Step::Tool { crop: Some(crop), result: Some(StepResult::Found { hits, .. }), .. } = &state.steps[1]
    else {
        panic!("the first call has a crop and hits")
    };
    assert!(crop.region.is_some());
    assert_eq!(state.hit(&state.citations[0]), Some(&hits[0]));
    assert!(matches!(&state.steps[2], Step::Tool { result: Some(StepResult::Failed(_)), .. }));
}

#[test]
fn a_replay_from_any_point_changes_nothing() {
    let events = envelopes(RUN);
    let whole = folded(&events);
    for from in 0..events.len() {
        let mut state = folded(&events);
        for envelope in &events[from..] {
            state.apply(envelope.seq, &envelope.event().unwrap());
        }
        assert_eq!(state, whole);
    }
}

#[test]
fn a_query_is_read_and_written_back_unchanged() {
    let want: Value = serde_json::from_str(QUERY).unwrap();
    let query: QueryRequest = serde_json::from_str(QUERY).unwrap();
    assert_eq!(json!(query), want);
}

#[test]
fn a_query_needs_only_its_question() {
    let query: QueryRequest = serde_json::from_value(json!({"question": "why?"})).unwrap();
    assert!(query.images.is_empty() && query.parent.is_none());
}

#[test]
fn a_region_outside_the_picture_is_refused() {
    for bad in [
        json!({"x":0.5,"y":0.0,"w":0.6,"h":1.0}),
        json!({"x":-0.1,"y":0.0,"w":0.6,"h":1.0}),
        json!({"x":0.1,"y":0.0,"w":0.0,"h":1.0}),
    ] {
        assert!(serde_json::from_value::<loupe_shared::pixels::Region>(bad).is_err());
    }
}
