//! A run as people read it in a terminal: steps on one stream, the answer and its sources on the other.

use std::io::{self, Write};

use loupe_shared::protocol::{
    Done, Event, Hit, RunState, Started, Tool, ToolCall, ToolResult, ToolTarget, Usage,
};

use crate::text::printable;

/// Tells a run while it goes on.
pub struct Narrator<Steps, Answer> {
    steps: Steps,
    answer: Answer,
    state: RunState,
    seq: u64,
    in_text: Option<Text>,
}

/// What is being written without a line's end yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Reason,
    Answer,
}

impl<Steps: Write, Answer: Write> Narrator<Steps, Answer> {
    /// Tells steps to one stream and the answer to another.
    pub fn new(steps: Steps, answer: Answer) -> Self {
        Self { steps, answer, state: RunState::default(), seq: 0, in_text: None }
    }

    /// Tells one event.
    ///
    /// # Errors
    /// When a stream is closed.
    pub fn tell(&mut self, event: &Event) -> io::Result<()> {
        self.seq += 1;
        self.state.apply(self.seq, event);
        match event {
            Event::ReasonDelta(delta) => return self.text(Text::Reason, &delta.text),
            Event::AnswerDelta(delta) => return self.text(Text::Answer, &delta.text),
            _ => self.end_text()?,
        }
        match event {
            Event::Started(started) => self.started(started),
            Event::ToolCall(call) => self.called(call),
            Event::ToolResult(result) => self.found(result),
            Event::ToolFailed(failed) => writeln!(self.steps, "  failed: {}", printable(&failed.message)),
            Event::Done(done) => self.done(done),
            Event::Error(error) => writeln!(self.steps, "{} ({})", printable(&error.message), error.code),
            Event::Cancelled(_) => writeln!(self.steps, "Stopped."),
            _ => Ok(()),
        }
    }

    fn text(&mut self, kind: Text, text: &str) -> io::Result<()> {
        if self.in_text != Some(kind) {
            self.end_text()?;
            self.in_text = Some(kind);
        }
        match kind {
            Text::Reason => {
                write!(self.steps, "{}", printable(text))?;
                self.steps.flush()
            }
            Text::Answer => {
                write!(self.answer, "{}", printable(text))?;
                self.answer.flush()
            }
        }
    }

    fn end_text(&mut self) -> io::Result<()> {
        match self.in_text.take() {
            Some(Text::Reason) => writeln!(self.steps),
            Some(Text::Answer) => writeln!(self.answer),
            None => Ok(()),
        }
    }

    fn started(&mut self, started: &Started) -> io::Result<()> {
        writeln!(
            self.steps,
            "{} answers, dialect {}.",
            printable(&started.model),
            printable(&started.dialect)
        )
    }

    fn called(&mut self, call: &ToolCall) -> io::Result<()> {
        let what = match (call.tool, &call.target) {
            (Tool::TextSearch, ToolTarget::Query(query)) => format!("Searches for: {query}"),
            (Tool::ImageSearch, ToolTarget::Expression(words)) => format!("Searches by picture: {words}"),
            (Tool::ImageSearch, ToolTarget::Region(region)) if region.is_whole() => {
                "Searches by picture: the whole".to_owned()
            }
            (_, target) => format!("Searches: {}", described(target)),
        };
        writeln!(self.steps, "{}", printable(&what))
    }

    fn found(&mut self, result: &ToolResult) -> io::Result<()> {
        if result.hits.is_empty() {
            return writeln!(self.steps, "  nothing found");
        }
        for Hit { rank, title, url, .. } in &result.hits {
            writeln!(self.steps, "  {rank}. {} ({})", printable(title), printable(url))?;
        }
        Ok(())
    }

    fn done(&mut self, done: &Done) -> io::Result<()> {
        let mut sources: Vec<&Hit> = Vec::new();
        for hit in done.citations.iter().filter_map(|citation| self.state.hit(citation)) {
            if !sources.iter().any(|known| known.url == hit.url) {
                sources.push(hit);
            }
        }
        for (number, hit) in (1..).zip(sources) {
            writeln!(self.answer, "[{number}] {} ({})", printable(&hit.title), printable(&hit.url))?;
        }
        let Usage { searches, generated_tokens, first_token_ms, tokens_per_second, .. } = done.usage;
        writeln!(
            self.steps,
            "{searches} searches, {generated_tokens} tokens, first after {first_token_ms} ms, {tokens_per_second:.0} tokens/s"
        )
    }
}

fn described(target: &ToolTarget) -> String {
    match target {
        ToolTarget::Query(words) | ToolTarget::Expression(words) => words.clone(),
        ToolTarget::Region(region) => {
            let percent = |fraction: f64| (fraction * 100.0).round();
            format!(
                "the part from {} %, {} % of {} % x {} %",
                percent(region.x()),
                percent(region.y()),
                percent(region.w()),
                percent(region.h())
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use loupe_shared::ids::CallId;
    use loupe_shared::protocol::{Citation, HitRef, TextDelta};

    use super::*;

    fn run() -> Vec<Event> {
        let hit = Hit {
            rank: 1,
            title: "Oslo\u{1b}[2J".into(),
            url: "/pages/oslo".into(),
            snippet: "The capital of Norway.".into(),
            thumb: None,
        };
        let call_id = CallId::nth(1);
        let citation = Citation { hit: HitRef { call_id: call_id.clone(), rank: 1 }, span: [0, 4] };
        vec![
            Event::ReasonDelta(TextDelta { text: "I look it ".into() }),
            Event::ReasonDelta(TextDelta { text: "up.".into() }),
            Event::ToolCall(ToolCall {
                call_id: call_id.clone(),
                tool: Tool::TextSearch,
                target: ToolTarget::Query("capital of Norway".into()),
            }),
            Event::ToolResult(ToolResult {
                call_id,
                hits: vec![hit],
                summary: String::new(),
                took_ms: 1,
                cached: false,
                provider: "local".into(),
            }),
            Event::AnswerDelta(TextDelta { text: "Oslo".into() }),
            Event::Done(Done {
                answer: "Oslo".into(),
                citations: vec![citation.clone(), citation],
                usage: Usage { searches: 1, ..Usage::default() },
            }),
        ]
    }

    #[test]
    fn the_answer_has_its_stream_to_itself_and_a_source_once() {
        let (mut steps, mut answer) = (Vec::new(), Vec::new());
        let mut narrator = Narrator::new(&mut steps, &mut answer);
        run().iter().for_each(|event| narrator.tell(event).unwrap());
        assert_eq!(String::from_utf8(answer).unwrap(), "Oslo\n[1] Oslo [2J (/pages/oslo)\n");
        let steps = String::from_utf8(steps).unwrap();
        assert!(
            steps
                .starts_with("I look it up.\nSearches for: capital of Norway\n  1. Oslo [2J (/pages/oslo)\n")
        );
        assert!(!steps.contains('\u{1b}'), "a page's text cannot steer the terminal");
    }
}
