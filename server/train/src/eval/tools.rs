//! The tools as one question uses them: the providers, before them a recording, and what an ablation takes away.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_search::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
use loupe_shared::pixels::Rgb8;

use super::error::EvalError;
use super::tape::{Call, Tape};

/// Who answers searches.
#[derive(Clone)]
pub struct Providers {
    /// By words.
    pub text: Arc<dyn TextSearch>,
    /// By picture.
    pub image: Arc<dyn ImageSearch>,
}

/// What calls are made of.
#[derive(Clone)]
pub enum Tools {
    /// Calls go to the providers.
    Live(Providers),
    /// Calls that the recording has are answered from it, the others made and added.
    Recorded(Providers, Arc<Tape>),
    /// Only the recording answers.
    Replayed(Arc<Tape>),
}

/// What one question's calls came to besides their answers.
#[derive(Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: usize,
    missed: Vec<String>,
    broken: Option<EvalError>,
}

impl Calls {
    /// Calls that the recording does not have.
    pub(crate) fn missed(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).missed.clone()
    }

    /// Why the recording could not be written.
    pub(crate) fn broken(&self) -> Option<EvalError> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).broken.take()
    }

    /// Answers a call from the recording, or has it made.
    async fn answer(
        &self,
        tools: &Tools,
        call: Call,
        question: &str,
        made: impl Future<Output = Result<Found, SearchError>>,
    ) -> Result<Found, SearchError> {
        let number = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.made += 1;
            state.made
        };
        let (Tools::Recorded(_, tape) | Tools::Replayed(tape)) = tools else { return made.await };
        if let Some(answer) = tape.answer(&call) {
            return answer;
        }
        if !tape.records() {
            let missed = format!(
                "{} has no answer to search {number} of question {question} ({call})",
                tape.path().display()
            );
            self.state.lock().unwrap_or_else(PoisonError::into_inner).missed.push(missed.clone());
            return Err(unrecorded(missed));
        }
        let result = made.await;
        match tape.keep(call, result) {
            Ok(result) => result,
            Err(error) => {
                let told = unrecorded(error.to_string());
                self.state.lock().unwrap_or_else(PoisonError::into_inner).broken = Some(error);
                Err(told)
            }
        }
    }
}

fn unrecorded(reason: String) -> SearchError {
    SearchError::Unreachable { provider: "the recording".to_owned(), reason }
}

impl Tools {
    /// The tools for one question, and what its calls come to; `instead` is searched in the place of any picture.
    pub(crate) fn for_question(&self, id: &str, instead: Option<Arc<Rgb8>>) -> (QuestionTools, Arc<Calls>) {
        let calls = Arc::new(Calls::default());
        let tools = QuestionTools { tools: self.clone(), calls: calls.clone(), question: id.into(), instead };
        (tools, calls)
    }
}

/// The tools of one question.
pub(crate) struct QuestionTools {
    tools: Tools,
    calls: Arc<Calls>,
    /// The question's name.
    question: Arc<str>,
    /// What is searched instead of any picture.
    instead: Option<Arc<Rgb8>>,
}

impl QuestionTools {
    fn providers(&self) -> Option<&Providers> {
        match &self.tools {
            Tools::Live(providers) | Tools::Recorded(providers, _) => Some(providers),
            Tools::Replayed(_) => None,
        }
    }
}

/// The name of what answers instead of a provider.
const RECORDING: &str = "recording";

#[async_trait]
impl TextSearch for QuestionTools {
    fn name(&self) -> &str {
        self.providers().map_or(RECORDING, |providers| providers.text.name())
    }

    async fn search(&self, query: &TextQuery) -> Result<Found, SearchError> {
        let made = async {
            match self.providers() {
                Some(providers) => providers.text.search(query).await,
                None => Err(unrecorded("it is only played".to_owned())),
            }
        };
        self.calls.answer(&self.tools, query.into(), &self.question, made).await
    }

    async fn check(&self) -> Result<(), SearchError> {
        match self.providers() {
            Some(providers) => providers.text.check().await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ImageSearch for QuestionTools {
    fn name(&self) -> &str {
        self.providers().map_or(RECORDING, |providers| providers.image.name())
    }

    async fn search(&self, query: &ImageQuery) -> Result<Found, SearchError> {
        let instead = self.instead.clone().map(ImageRef::Pixels);
        let query = ImageQuery { image: instead.unwrap_or_else(|| query.image.clone()), limit: query.limit };
        let made = async {
            match self.providers() {
                Some(providers) => providers.image.search(&query).await,
                None => Err(unrecorded("it is only played".to_owned())),
            }
        };
        self.calls.answer(&self.tools, (&query).into(), &self.question, made).await
    }

    async fn check(&self) -> Result<(), SearchError> {
        match self.providers() {
            Some(providers) => providers.image.check().await,
            None => Ok(()),
        }
    }
}
