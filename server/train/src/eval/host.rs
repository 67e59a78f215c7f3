//! Carries a run of the evaluation: notes its searches, cuts crops from the picture.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError};
use loupe_shared::ids::CallId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{Event, ToolTarget};

use super::scored::Step;
use crate::carry;

/// What a run did.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    /// Whether the whole picture is searched whatever part is asked for.
    no_crop: bool,
    /// Its searches in order.
    pub(super) steps: Vec<Step>,
    /// What the model read of them.
    pub(super) read: Vec<String>,
}

/// A host without a browser and without a store.
pub(super) struct EvalHost {
    notes: Mutex<Notes>,
}

impl EvalHost {
    /// A host of a run that has done nothing yet; with `no_crop` the tools search the whole picture only.
    pub(super) fn new(no_crop: bool) -> Self {
        Self { notes: Mutex::new(Notes { no_crop, ..Notes::default() }) }
    }

    /// What the run did.
    pub(super) fn into_notes(self) -> Notes {
        self.notes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// A run makes one call at a time, so what comes after a call belongs to it.
    fn note(&mut self, event: Event) {
        if let Event::ToolCall(call) = event {
            let words = match call.target {
                ToolTarget::Query(words) | ToolTarget::Expression(words) => Some(words),
                ToolTarget::Region(_) => None,
            };
            let (part, cached) = (false, false);
            self.steps.push(Step { tool: call.tool, words, part, found: Vec::new(), cached, failed: None });
            return;
        }
        let Some(step) = self.steps.last_mut() else { return };
        match event {
            Event::CropUsed(used) => {
                step.part = !self.no_crop && used.region.is_some_and(|region| !region.is_whole());
            }
            Event::ToolResult(result) => {
                step.found = result.hits.into_iter().map(|hit| hit.title).collect();
                step.cached = result.cached;
                self.read.push(result.summary);
            }
            Event::ToolFailed(failed) => step.failed = Some(failed.code),
            _ => {}
        }
    }
}

#[async_trait]
impl Host for EvalHost {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).note(event);
        Ok(())
    }

    async fn crop(&self, _call: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        carry::crop(region, uploaded)
    }
}
