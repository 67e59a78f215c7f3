//! Tool calls on record: made once and answered from a file afterwards, so that an evaluation can be repeated without
//! the tools.
//!
//! A recording is a file of JSON lines `{"call": {…}, "hits": […]}` or `{"call": {…}, "failed": {…}}`. A call is known
//! by its tool and what it was asked for; a picture by its size and the hash of its pixels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use loupe_search::{Found, ImageQuery, ImageRef, SearchError, TextQuery};
use loupe_shared::protocol::Hit;
use serde::{Deserialize, Serialize};

use super::error::{EvalError, at};
use crate::lines::{self, Lines};

/// What a tool was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "tool", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Call {
    /// A search by words.
    TextSearch {
        /// The words.
        text: String,
        /// Most hits wanted.
        limit: usize,
        /// The wanted language.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lang: Option<String>,
    },
    /// A search by picture.
    ImageSearch {
        /// `640x480 HASH`, or an address.
        picture: String,
        /// Most hits wanted.
        limit: usize,
    },
}

impl From<&TextQuery> for Call {
    fn from(query: &TextQuery) -> Self {
        Self::TextSearch { text: query.text.clone(), limit: query.limit, lang: query.lang.clone() }
    }
}

impl From<&ImageQuery> for Call {
    fn from(query: &ImageQuery) -> Self {
        let picture = match &query.image {
            ImageRef::Pixels(pixels) => {
                format!("{}x{} {}", pixels.width(), pixels.height(), blake3::hash(pixels.data()))
            }
            ImageRef::PublicUrl(url) => url.to_string(),
        };
        Self::ImageSearch { picture, limit: query.limit }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TextSearch { text, .. } => write!(f, "text {text:?}"),
            Self::ImageSearch { picture, .. } => write!(f, "picture {picture}"),
        }
    }
}

/// One line.
#[derive(Serialize, Deserialize)]
struct Line {
    call: Call,
    #[serde(flatten)]
    answer: Answer,
}

/// What a tool answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Hits(Vec<Hit>),
    Failed(SearchError),
}

impl Answer {
    fn of(result: Result<Found, SearchError>) -> Self {
        match result {
            Ok(found) => Self::Hits(found.hits),
            Err(error) => Self::Failed(error),
        }
    }

    fn result(self, cached: bool) -> Result<Found, SearchError> {
        match self {
            Self::Hits(hits) => Ok(Found { hits, cached }),
            Self::Failed(error) => Err(error),
        }
    }
}

/// A recording.
#[derive(Debug)]
pub struct Tape {
    path: PathBuf,
    answers: Mutex<HashMap<Call, Answer>>,
    /// Where new calls go; none where only what is there is played.
    added: Option<Mutex<Lines>>,
}

impl Tape {
    /// Opens a recording to play and to add to; calls that it has are not made again.
    ///
    /// # Errors
    /// [`EvalError`] when it cannot be read or written.
    pub fn record(path: &Path) -> Result<Self, EvalError> {
        let (lines, read) = Lines::open(path)?;
        Ok(Self { added: Some(Mutex::new(lines)), ..Self::of(path, read) })
    }

    /// Opens a recording to play.
    ///
    /// # Errors
    /// [`EvalError`] when it cannot be read.
    pub fn replay(path: &Path) -> Result<Self, EvalError> {
        let bytes = std::fs::read(path).map_err(at(path))?;
        Ok(Self::of(path, lines::read(path, &bytes)?.0))
    }

    fn of(path: &Path, lines: Vec<Line>) -> Self {
        let answers = lines.into_iter().map(|line| (line.call, line.answer)).collect();
        Self { path: path.to_owned(), answers: Mutex::new(answers), added: None }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether calls that it does not have are made.
    pub(super) fn records(&self) -> bool {
        self.added.is_some()
    }

    /// What a call was answered.
    pub(super) fn answer(&self, call: &Call) -> Option<Result<Found, SearchError>> {
        self.answers().get(call).map(|answer| answer.clone().result(true))
    }

    /// Keeps an answer. Where the same call was made twice at once, the first answer holds for both.
    ///
    /// # Errors
    /// [`EvalError::Lines`].
    pub(super) fn keep(
        &self,
        call: Call,
        result: Result<Found, SearchError>,
    ) -> Result<Result<Found, SearchError>, EvalError> {
        let mut answers = self.answers();
        if let Some(answer) = answers.get(&call) {
            return Ok(answer.clone().result(true));
        }
        let line = Line { call, answer: Answer::of(result.clone()) };
        if let Some(added) = &self.added {
            added.lock().unwrap_or_else(PoisonError::into_inner).add(&line)?;
        }
        answers.insert(line.call, line.answer);
        Ok(result)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Call, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
