//! A run's state is the fold of its events: the server answers `GET /queries/{id}` with it, the browser draws it.

use serde::{Deserialize, Serialize};

use super::event::{Citation, CropUsed, Event, Hit, RunError, Started, ToolCall, ToolFailed, Usage};
use crate::ids::CallId;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for its turn.
    #[default]
    Queued,
    /// Works.
    Running,
    /// Answered.
    Done,
    /// Failed.
    Error,
    /// Stopped on request.
    Cancelled,
}

/// One step of a run, in the order they began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a run has a handful of steps; boxing them would buy nothing")]
pub enum Step {
    /// The model thought.
    Reason {
        /// What it wrote.
        text: String,
    },
    /// A tool was used.
    Tool {
        /// What was asked.
        call: ToolCall,
        /// The picture that was searched, once it is known.
        crop: Option<CropUsed>,
        /// What came back, once it has.
        result: Option<StepResult>,
    },
}

/// How a tool's step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StepResult {
    /// It found something, or nothing.
    Found {
        /// Best first.
        hits: Vec<Hit>,
        /// What the model read of it.
        summary: String,
        /// How long it took.
        took_ms: u32,
        /// Which provider answered.
        provider: String,
    },
    /// It failed.
    Failed(ToolFailed),
}

/// A run as the fold of its events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// Sequence number of the last event folded in; 0 for none.
    pub seq: u64,
    /// Where the run stands.
    pub status: Status,
    /// Runs before it, while queued.
    pub position: u32,
    /// Model, dialect and workflow, once started.
    pub started: Option<Started>,
    /// What was done so far.
    pub steps: Vec<Step>,
    /// The answer so far.
    pub answer: String,
    /// Its sources so far.
    pub citations: Vec<Citation>,
    /// What the run cost, once done.
    pub usage: Option<Usage>,
    /// Why it failed, if it did.
    pub error: Option<RunError>,
}

impl RunState {
    /// Folds one event in. Events already folded are ignored, so that a replay from any point is harmless.
    pub fn apply(&mut self, seq: u64, event: &Event) {
        if seq <= self.seq {
            return;
        }
        self.seq = seq;
        match event {
            Event::Queued(queued) => self.position = queued.position,
            Event::Started(started) => {
                self.status = Status::Running;
                self.position = 0;
                self.started = Some(started.clone());
            }
            Event::ReasonDelta(delta) => self.reason(&delta.text),
            Event::ToolCall(call) => {
                self.steps.push(Step::Tool { call: call.clone(), crop: None, result: None });
            }
            Event::CropRequest(_) | Event::Unknown { .. } => {}
            Event::CropUsed(used) => {
                if let Some((crop, _)) = self.tool(&used.call_id) {
                    *crop = Some(used.clone());
                }
            }
            Event::ToolResult(found) => {
                if let Some((_, result)) = self.tool(&found.call_id) {
                    *result = Some(StepResult::Found {
                        hits: found.hits.clone(),
                        summary: found.summary.clone(),
                        took_ms: found.took_ms,
                        provider: found.provider.clone(),
                    });
                }
            }
            Event::ToolFailed(failed) => {
                if let Some((_, result)) = self.tool(&failed.call_id) {
                    *result = Some(StepResult::Failed(failed.clone()));
                }
            }
            Event::AnswerDelta(delta) => self.answer.push_str(&delta.text),
            Event::Citation(citation) => self.citations.push(citation.clone()),
            Event::Done(done) => {
                self.status = Status::Done;
                self.answer.clone_from(&done.answer);
                self.citations.clone_from(&done.citations);
                self.usage = Some(done.usage.clone());
            }
            Event::Error(error) => {
                self.status = Status::Error;
                self.error = Some(error.clone());
            }
            Event::Cancelled(_) => self.status = Status::Cancelled,
        }
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Done | Status::Error | Status::Cancelled)
    }

    /// The hit a citation names.
    #[must_use]
    pub fn hit(&self, citation: &Citation) -> Option<&Hit> {
        self.steps.iter().find_map(|step| match step {
            Step::Tool { call, result: Some(StepResult::Found { hits, .. }), .. }
                if call.call_id == citation.hit.call_id =>
            {
                hits.iter().find(|hit| hit.rank == citation.hit.rank)
            }
            _ => None,
        })
    }

    fn reason(&mut self, text: &str) {
        if let Some(Step::Reason { text: so_far }) = self.steps.last_mut() {
            so_far.push_str(text);
            return;
        }
        self.steps.push(Step::Reason { text: text.to_owned() });
    }

    fn tool(&mut self, id: &CallId) -> Option<(&mut Option<CropUsed>, &mut Option<StepResult>)> {
        self.steps.iter_mut().rev().find_map(|step| match step {
            Step::Tool { call, crop, result } if call.call_id == *id => Some((crop, result)),
            _ => None,
        })
    }
}
