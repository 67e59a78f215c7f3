//! Errors as people read them: what happened, and one thing to do.

use loupe_shared::protocol::ErrorBody;
use serde::Deserialize;
use serde_json::Value;

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable, for programs.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do; empty where the message says it.
    pub hint: String,
    /// The status of the server's answer; 0 where there was none.
    pub status: u16,
}

impl Problem {
    /// A problem that the client itself found.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: hint.into(), status: 0 }
    }

    /// A file could not be read at all.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::new("unreadable_file", "The file could not be read.", "Check that it is still where it was.")
    }

    /// The server could not be reached.
    #[must_use]
    pub fn offline() -> Self {
        Self::new(
            "server_unreachable",
            "The server cannot be reached.",
            "Check that Loupe is still running and that this device is online, then try again.",
        )
    }

    /// Reads the body of a failed call. A body of another form (a proxy's page, say) is named by its status.
    #[must_use]
    pub fn from_answer(status: u16, body: &str) -> Self {
        let value: Option<Value> = serde_json::from_str(body).ok();
        if let Some(Ok(ErrorBody { error })) = value.map(|value| ErrorBody::deserialize(&value)) {
            return Self { code: error.code, message: error.message, hint: error.hint, status };
        }
        let message = format!("The server answered {status} without saying why.");
        let hint = "Something between this page and Loupe may have answered instead. Reload the page.";
        Self { status, ..Self::new("unexpected_answer", message, hint) }
    }

    /// Whether asking the same again later may help: nobody answered, or the server could not for now.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.code == "server_unreachable" || self.status >= 500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_kept() {
        let body = r#"{"error":{"code":"image_too_large","message":"The picture is too large.","hint":"Make it smaller."}}"#;
        let problem = Problem::from_answer(413, body);
        assert_eq!(problem.code, "image_too_large");
        assert_eq!(problem.hint, "Make it smaller.");
    }

    #[test]
    fn a_proxys_page_is_named_by_its_status() {
        let problem = Problem::from_answer(502, "<html>Bad gateway</html>");
        assert_eq!(problem.code, "unexpected_answer");
        assert!(problem.message.contains("502"));
        assert!(problem.may_pass());
        assert!(!Problem::from_answer(404, "").may_pass());
    }
}
