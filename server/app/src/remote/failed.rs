//! Why an attempt brought no answer, and what may help.

use std::time::Duration;

use loupe_mllm::engine::EngineError;
use loupe_search::http;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::KEY;
use super::wire::{Complaint, brief};

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: EngineError,
    pub(super) cure: Cure,
}

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// The server is not well: another one, or the same one later. It may say how much later.
    Later(Option<Duration>),
    /// Another server, which may have what this one lacks.
    Elsewhere,
    /// Nothing: nobody will do this.
    Nothing,
}

impl Failed {
    /// A server that cannot be reached.
    pub(super) fn unreachable(reason: String) -> Self {
        Self { error: EngineError::Unreachable(reason), cure: Cure::Later(None) }
    }

    /// An answer that broke off.
    pub(super) fn broken(reason: &str) -> Self {
        Self::unreachable(broke_off(reason))
    }

    /// What a status other than success means. The reason is waited for as long as `patience`; the model takes `context`
    /// tokens.
    pub(super) async fn refused(response: Response, patience: Duration, context: u32) -> Self {
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let Ok(body) = tokio::time::timeout(patience, http::body(response)).await else {
            return Self::unreachable(format!("the model server answered {status} and did not say why"));
        };
        let complaint = body.map(|bytes| Complaint::of_body(&bytes)).unwrap_or_default();
        let reason = format!("the model server answered {status}: {}", complaint.message());
        Self::of(&complaint, status, reason, context).after(wait.map(Duration::from_secs))
    }

    /// What an error in the midst of an answer means.
    pub(super) fn in_answer(error: &Value, context: u32) -> Self {
        let complaint = Complaint::of_json(error);
        let status = complaint.status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::of(&complaint, status, broke_off(&complaint.message()), context)
    }

    fn of(complaint: &Complaint, status: StatusCode, reason: String, context: u32) -> Self {
        if let Some(error) = complaint.too_long(context) {
            return Self { error, cure: Cure::Nothing };
        }
        let (error, cure) = match status {
            _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                (EngineError::Unreachable(reason), Cure::Later(None))
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                (EngineError::Input(reason), Cure::Nothing)
            }
            // Another server may have the model.
            StatusCode::NOT_FOUND => (EngineError::Internal(reason), Cure::Elsewhere),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                (EngineError::Internal(format!("{reason}; set {KEY}")), Cure::Nothing)
            }
            _ => (EngineError::Internal(reason), Cure::Nothing),
        };
        Self { error, cure }
    }

    /// The same, where the server says when it may be asked again.
    fn after(mut self, wait: Option<Duration>) -> Self {
        if let Cure::Later(later) = &mut self.cure {
            *later = wait;
        }
        self
    }
}

fn broke_off(reason: &str) -> String {
    format!("the model server broke off: {}", brief(reason))
}
