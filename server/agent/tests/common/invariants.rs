//! What holds for every run, however it ends.

use loupe_agent::RunEnd;
use loupe_shared::ids::CallId;
use loupe_shared::protocol::Event;

/// Panics unless it does.
pub(super) fn check_invariants(events: &[Event], end: &RunEnd) {
    let last: Vec<usize> = (0..events.len()).filter(|i| events[*i].is_last()).collect();
    assert_eq!(last, [events.len() - 1], "exactly one last event, at the end: {events:#?}");
    match (events.last().unwrap(), end) {
        (Event::Done(event), RunEnd::Done(done)) => assert_eq!(event, done),
        (Event::Error(event), RunEnd::Failed(error)) => assert_eq!(event, error),
        (Event::Cancelled(_), RunEnd::Cancelled) => {}
        (event, end) => panic!("{event:?} was told, {end:?} returned"),
    }
    let mut calls = 0;
    let mut open: Option<CallId> = None;
    let mut known: Vec<(CallId, u32)> = Vec::new();
    for event in events {
        match event {
            Event::ToolCall(call) => {
                calls += 1;
                assert_eq!(call.call_id, CallId::nth(calls));
                assert_eq!(open.replace(call.call_id.clone()), None, "a call is answered before the next");
            }
            Event::CropUsed(used) => assert_eq!(Some(&used.call_id), open.as_ref()),
            Event::ToolResult(result) => {
                assert_eq!(open.take().as_ref(), Some(&result.call_id));
                known.extend(result.hits.iter().map(|hit| (result.call_id.clone(), hit.rank)));
            }
            Event::ToolFailed(failed) => assert_eq!(open.take().as_ref(), Some(&failed.call_id)),
            Event::Citation(citation) => {
                assert!(known.contains(&(citation.hit.call_id.clone(), citation.hit.rank)), "{citation:?}");
            }
            _ => {}
        }
    }
    let RunEnd::Done(done) = end else { return };
    let told: Vec<_> =
        events.iter().filter_map(|e| if let Event::Citation(c) = e { Some(c) } else { None }).collect();
    assert_eq!(told, done.citations.iter().collect::<Vec<_>>());
    let written: String = events
        .iter()
        .filter_map(|e| if let Event::AnswerDelta(d) = e { Some(d.text.as_str()) } else { None })
        .collect();
    assert_eq!(written, done.answer, "the deltas are the answer");
    for citation in &done.citations {
        assert!(
            done.answer.get(citation.span[0] as usize..citation.span[1] as usize).is_some(),
            "{citation:?}"
        );
    }
}
