//! A run's steps as lines to draw: verb, object, result, time.

use loupe_shared::pixels::Region;
use loupe_shared::protocol::{CropUsed, Hit, RunState, Status, Step, StepResult, Tool, ToolCall, ToolTarget};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The model's reasoning.
    Reason,
    /// A search by picture.
    Picture,
    /// A search by words.
    Words,
    /// Waiting or thinking, before there is a step to show.
    Pause,
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Under way; at most one line of a run is.
    Running,
    /// Finished.
    Done,
    /// Failed, or ended with the run before it could finish.
    Failed,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Where it stands.
    pub progress: Progress,
    /// Verb and object: `Searched this part`.
    pub title: String,
    /// What came of it: `5 pages`.
    pub outcome: Option<String>,
    /// How long it took: `0.4 s`.
    pub time: Option<String>,
    /// The reasoning, or why a tool failed.
    pub text: Option<&'a str>,
    /// The picture that was searched.
    pub crop: Option<&'a CropUsed>,
    /// Where in the original it was taken from.
    pub region: Option<Region>,
    /// What was found.
    pub hits: &'a [Hit],
}

/// The lines of a run, oldest first.
#[must_use]
pub fn lines(run: &RunState) -> Vec<Line<'_>> {
    let last = run.steps.len().saturating_sub(1);
    let mut lines: Vec<_> = run
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| match step {
            Step::Reason { text } => reason(text, i == last && thinks(run)),
            Step::Tool { call, crop, result } => tool(call, crop.as_ref(), result.as_ref(), run.is_over()),
        })
        .collect();
    lines.extend(pause(run));
    lines
}

/// All steps in one line, for where there is no room for more: the running one, or how many there were.
#[must_use]
pub fn summary(lines: &[Line]) -> String {
    if let Some(running) = lines.iter().find(|line| line.progress == Progress::Running) {
        return running.title.clone();
    }
    tally(lines)
}

/// How many steps and searches there were.
#[must_use]
pub fn tally(lines: &[Line]) -> String {
    let searches = lines.iter().filter(|line| matches!(line.kind, Kind::Picture | Kind::Words)).count();
    match searches {
        0 => count(lines.len(), "step"),
        n => format!("{} · {}", count(lines.len(), "step"), count(n, "search")),
    }
}

/// A number with its noun: `1 page`, `5 pages`, `2 searches`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    match (n, noun.ends_with("ch")) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{n} {noun}es"),
        (_, false) => format!("{n} {noun}s"),
    }
}

/// A time for people: `12 ms`, `0.4 s`, `12 s`.
#[must_use]
pub fn duration(ms: u32) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..9_950 => format!("{}.{} s", (ms + 50) / 1000, (ms + 50) / 100 % 10),
        _ => format!("{} s", ms.saturating_add(500) / 1000),
    }
}

fn thinks(run: &RunState) -> bool {
    run.status == Status::Running && run.answer.is_empty()
}

fn reason(text: &str, running: bool) -> Line<'_> {
    Line {
        kind: Kind::Reason,
        progress: if running { Progress::Running } else { Progress::Done },
        title: if running { "Thinking".to_owned() } else { "Thought".to_owned() },
        text: Some(text.trim()),
        ..Line::empty()
    }
}

fn tool<'a>(
    call: &'a ToolCall,
    crop: Option<&'a CropUsed>,
    result: Option<&'a StepResult>,
    over: bool,
) -> Line<'a> {
    let region = crop.and_then(|crop| crop.region).or(match &call.target {
        ToolTarget::Region(region) => Some(*region),
        _ => None,
    });
    let line = Line {
        kind: match call.tool {
            Tool::ImageSearch => Kind::Picture,
            Tool::TextSearch => Kind::Words,
        },
        crop,
        region: region.filter(|region| !region.is_whole()),
        ..Line::empty()
    };
    match result {
        None if over => Line { progress: Progress::Failed, title: past(call), ..line },
        None => Line { progress: Progress::Running, title: present(call), ..line },
        Some(StepResult::Failed(failed)) => Line {
            progress: Progress::Failed,
            title: past(call),
            outcome: Some("failed".to_owned()),
            text: Some(&failed.message),
            ..line
        },
        Some(StepResult::Found { hits, took_ms, .. }) => Line {
            progress: Progress::Done,
            title: past(call),
            outcome: Some(if hits.is_empty() {
                "nothing found".to_owned()
            } else {
                count(hits.len(), "page")
            }),
            time: Some(duration(*took_ms)),
            hits,
            ..line
        },
    }
}

fn past(call: &ToolCall) -> String {
    match &call.target {
        ToolTarget::Query(words) => format!("Searched for “{}”", words.trim()),
        ToolTarget::Expression(words) => format!("Searched {}", words.trim()),
        ToolTarget::Region(region) if region.is_whole() => "Searched the whole picture".to_owned(),
        ToolTarget::Region(_) => "Searched this part".to_owned(),
    }
}

fn present(call: &ToolCall) -> String {
    past(call).replacen("Searched", "Searching", 1)
}

/// What to show while there is nothing newer than a finished step.
fn pause(run: &RunState) -> Option<Line<'static>> {
    let title = match run.status {
        Status::Queued if run.position > 0 => {
            format!("Waiting, {} before this one", count(run.position as usize, "question"))
        }
        Status::Queued => "Waiting for the model".to_owned(),
        Status::Running if thinks(run) && !last_is_open(run) => match run.steps.last() {
            None => "Looking at the picture and the question".to_owned(),
            Some(_) => "Reading what was found".to_owned(),
        },
        _ => return None,
    };
    Some(Line { kind: Kind::Pause, progress: Progress::Running, title, ..Line::empty() })
}

/// Whether the last step itself shows that the run goes on.
fn last_is_open(run: &RunState) -> bool {
    matches!(run.steps.last(), Some(Step::Reason { .. } | Step::Tool { result: None, .. }))
}

impl Line<'_> {
    fn empty() -> Self {
        Self {
            kind: Kind::Pause,
            progress: Progress::Done,
            title: String::new(),
            outcome: None,
            time: None,
            text: None,
            crop: None,
            region: None,
            hits: &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use loupe_shared::ids::CallId;
    use loupe_shared::protocol::{
        Cancelled, Event, Queued, Started, TextDelta, ToolFailed, ToolResult, Workflow,
    };

    use super::*;

    fn started() -> Event {
        Event::Started(Started { model: "m".into(), dialect: "deepmm".into(), workflow: Workflow::Agent })
    }

    fn thought(text: &str) -> Event {
        Event::ReasonDelta(TextDelta { text: text.into() })
    }

    fn call(n: u32, tool: Tool, target: ToolTarget) -> Event {
        Event::ToolCall(ToolCall { call_id: CallId::nth(n), tool, target })
    }

    fn found(n: u32, pages: u32) -> Event {
        let hit = |rank| Hit {
            rank,
            title: "t".into(),
            url: "/pages/t".into(),
            snippet: String::new(),
            thumb: None,
        };
        Event::ToolResult(ToolResult {
            call_id: CallId::nth(n),
            hits: (1..=pages).map(hit).collect(),
            summary: String::new(),
            took_ms: 420,
            cached: false,
            provider: "local".into(),
        })
    }

    fn run(events: &[Event]) -> RunState {
        let mut run = RunState::default();
        for (seq, event) in (1..).zip(events) {
            run.apply(seq, event);
        }
        run
    }

    fn titles(run: &RunState) -> Vec<(String, Progress)> {
        lines(run).into_iter().map(|line| (line.title, line.progress)).collect()
    }

    #[test]
    fn a_run_as_it_grows() {
        use Progress::{Done, Running};
        let part = ToolTarget::Region(Region::new(0.1, 0.1, 0.2, 0.2).unwrap());
        let mut events = vec![Event::Queued(Queued { position: 2 })];
        assert_eq!(titles(&run(&events)), [("Waiting, 2 questions before this one".into(), Running)]);
        events.push(started());
        assert_eq!(titles(&run(&events)), [("Looking at the picture and the question".into(), Running)]);
        events.push(thought("I must find it. "));
        assert_eq!(titles(&run(&events)), [("Thinking".into(), Running)]);
        events.push(call(1, Tool::ImageSearch, part));
        assert_eq!(
            titles(&run(&events)),
            [("Thought".into(), Done), ("Searching this part".into(), Running)]
        );
        events.push(found(1, 5));
        let state = run(&events);
        let now = lines(&state);
        assert_eq!(now[1].outcome.as_deref(), Some("5 pages"));
        assert_eq!(now[1].time.as_deref(), Some("0.4 s"));
        assert_eq!(summary(&now), "Reading what was found");
        events.push(Event::AnswerDelta(TextDelta { text: "It".into() }));
        assert_eq!(summary(&lines(&run(&events))), "2 steps · 1 search");
    }

    #[test]
    fn a_failed_search_says_so_and_the_run_goes_on() {
        let failed =
            ToolFailed { call_id: CallId::nth(1), code: "timeout".into(), message: "No answer.".into() };
        let query = ToolTarget::Query("capital of France".into());
        let state = run(&[started(), call(1, Tool::TextSearch, query), Event::ToolFailed(failed)]);
        let now = lines(&state);
        assert_eq!(now[0].progress, Progress::Failed);
        assert_eq!(now[0].title, "Searched for “capital of France”");
        assert_eq!(now[0].text, Some("No answer."));
        assert_eq!(now[1].progress, Progress::Running);
    }

    #[test]
    fn nothing_breathes_after_the_end() {
        let whole = ToolTarget::Region(Region::WHOLE);
        let state = run(&[started(), call(1, Tool::ImageSearch, whole), Event::Cancelled(Cancelled {})]);
        assert_eq!(titles(&state), [("Searched the whole picture".into(), Progress::Failed)]);
        assert_eq!(lines(&state)[0].region, None);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1, "search"), "1 search");
        assert_eq!(count(2, "search"), "2 searches");
        assert_eq!([duration(7), duration(420), duration(12_300)], ["7 ms", "0.4 s", "12 s"]);
    }
}
