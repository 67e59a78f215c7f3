//! The searches of a teacher's run, and its crops, which are cut from the stored picture.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_agent::host::{Crop, Host, HostError};
use loupe_shared::ids::CallId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::{Event, Tool, ToolTarget};
use serde::{Deserialize, Serialize};

use crate::carry;

/// A search that a teacher made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// With what.
    pub tool: Tool,
    /// For what, as the teacher said it.
    pub target: ToolTarget,
    /// The part of the picture that was searched, where it was not the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Call {
    /// Whether a part of the picture was searched.
    #[must_use]
    pub fn is_crop(&self) -> bool {
        self.tool == Tool::ImageSearch && self.region.is_some()
    }
}

/// A host that keeps what was searched.
#[derive(Default)]
pub(super) struct TeacherHost {
    calls: Mutex<(Vec<Call>, Option<String>)>,
}

impl TeacherHost {
    /// The searches, and why the first of those that failed did.
    pub(super) fn take(&self) -> (Vec<Call>, Option<String>) {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Host for TeacherHost {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        let mut kept = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ToolCall(call) => kept.0.push(Call { tool: call.tool, target: call.target, region: None }),
            Event::CropUsed(crop) => {
                if let Some(call) = kept.0.last_mut() {
                    call.region = crop.region;
                }
            }
            Event::ToolFailed(failed) => {
                kept.1.get_or_insert(failed.message);
            }
            _ => {}
        }
        Ok(())
    }

    async fn crop(&self, _call: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        carry::crop(region, uploaded)
    }
}
