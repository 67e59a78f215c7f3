//! The order of the steps: fixed for `direct` and `rag`, the model's own for `agent`.

use loupe_mllm::engine::EngineError;
use loupe_shared::protocol::Workflow;

use super::tools::Outcome;
use super::turn::Turn;
use super::{Halt, Run};
use crate::budget::Limit;
use crate::dialect::{Choices, Deed, ImageTarget, Problem, Search};
use crate::error::AgentError;

/// How many turns in a row are answered with a correction.
const CORRECTIONS: u32 = 2;

/// What the model may do in its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Search or answer.
    Open,
    /// Answer. It gets a reminder if it does not.
    Closed,
    /// Answer, as it was just reminded to.
    Last(Limit),
}

impl Run<'_> {
    /// Works to the answer's text.
    pub(super) async fn work(&mut self) -> Result<String, Halt> {
        let question = self.query.question.clone();
        match self.query.workflow {
            Workflow::Agent => {
                let first = self.dialect().initial_turn(&question, &self.context);
                self.converse(first, Phase::Open).await
            }
            Workflow::Direct => {
                let only = self.dialect().answer_only(&question, "", &self.context);
                self.converse(only, Phase::Closed).await
            }
            Workflow::Rag => {
                let information = self.look_up(&question).await?;
                let only = self.dialect().answer_only(&question, &information, &self.context);
                self.converse(only, Phase::Closed).await
            }
        }
    }

    /// The fixed searches of `rag`: the picture, then the question with what the picture is most likely of.
    async fn look_up(&mut self, question: &str) -> Result<String, Halt> {
        let (mut query, mut seen) = (question.to_owned(), String::new());
        if !self.query.pictures.is_empty() {
            match self.image_search(&ImageTarget::Whole).await? {
                Outcome::Found { hits, information } => {
                    query.extend(hits.first().map(|hit| format!(" {}", hit.title)));
                    seen = information;
                }
                Outcome::Failed(problem) => seen = problem,
            }
        }
        let (Outcome::Found { information: read, .. } | Outcome::Failed(read)) =
            self.text_search(&query).await?;
        Ok([seen, read].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n"))
    }

    /// Turn by turn to an answer.
    async fn converse(&mut self, first: String, mut phase: Phase) -> Result<String, Halt> {
        let mut next = first;
        let mut refusals = 0;
        loop {
            self.say(next);
            let turn = self.turn(&mut phase).await?;
            self.hear(self.as_kept(&turn));
            let wish = match turn.parsed.deed() {
                Ok(Deed::Answer(answer)) => return Ok(answer),
                Ok(Deed::Search(search)) => Ok(search),
                Err(problem) => Err(problem),
            };
            next = match (phase, self.spent.reached()) {
                (Phase::Last(limit), _) => return Err(no_answer(limit, wish).into()),
                (Phase::Closed, _) => self.close(&mut phase, Limit::Workflow),
                (Phase::Open, Some(limit)) => self.close(&mut phase, limit),
                (Phase::Open, None) => self.act(wish, &mut phase, &mut refusals).await?,
            };
        }
    }

    /// Decodes a turn. A conversation that has outgrown the model is started over once, with what was found last.
    async fn turn(&mut self, phase: &mut Phase) -> Result<Turn, Halt> {
        let choices = self.choices(*phase);
        match self.decode(choices, matches!(phase, Phase::Last(_))).await {
            Err(Halt::Failed(AgentError::Engine(EngineError::TooLong { .. })))
                if *phase == Phase::Open && !self.latest.is_empty() =>
            {
                *phase = Phase::Last(Limit::Context);
                self.open();
                let only = self.dialect().answer_only(&self.query.question, &self.latest, &self.context);
                self.say(only);
                self.decode(Choices::default(), true).await
            }
            other => other,
        }
    }

    fn choices(&self, phase: Phase) -> Choices {
        let is_open = phase == Phase::Open;
        let by_picture = !self.query.pictures.is_empty() && self.spent.image_search_left();
        Choices { image_search: is_open && by_picture, text_search: is_open && self.spent.text_search_left() }
    }

    /// From now on there is only the answer.
    fn close(&self, phase: &mut Phase, limit: Limit) -> String {
        *phase = Phase::Last(limit);
        self.dialect().must_answer(&self.query.question, &limit.to_string())
    }

    /// Does what the model asked for, or says why not; returns the next user turn.
    async fn act(
        &mut self,
        wish: Result<Search, Problem>,
        phase: &mut Phase,
        refusals: &mut u32,
    ) -> Result<String, Halt> {
        let search = match self.permitted(wish) {
            Ok(search) => search,
            Err(refusal) => {
                *refusals += 1;
                return self.refuse(refusal, phase, *refusals);
            }
        };
        *refusals = 0;
        let next = self.search(&search).await?;
        match self.spent.reached() {
            Some(limit) => Ok(format!("{next}\n{}", self.close(phase, limit))),
            None => Ok(next),
        }
    }

    fn permitted(&self, wish: Result<Search, Problem>) -> Result<Search, Refusal> {
        let search = wish?;
        let by_picture = matches!(search, Search::Image(_));
        if by_picture && self.query.pictures.is_empty() {
            return Err(Refusal::Forbidden("the question has no picture"));
        }
        if by_picture && !self.spent.image_search_left() {
            return Err(Refusal::Forbidden("no image search is left"));
        }
        if !by_picture && !self.spent.text_search_left() {
            return Err(Refusal::Forbidden("no text search is left"));
        }
        if self.ledger.knows(&search) {
            return Err(Refusal::Forbidden("this was searched before"));
        }
        Ok(search)
    }

    /// The correction, as long as there were not too many in a row.
    fn refuse(&self, refusal: Refusal, phase: &mut Phase, refusals: u32) -> Result<String, Halt> {
        if refusals <= CORRECTIONS {
            return Ok(self.dialect().correction(&self.query.question, &refusal.to_string()));
        }
        match refusal {
            Refusal::Forbidden(_) => Ok(self.close(phase, Limit::Refused)),
            Refusal::Malformed(problem) => {
                Err(AgentError::Malformed { corrections: CORRECTIONS, problem }.into())
            }
        }
    }
}

/// Why a turn is answered with a correction.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Problem),
    /// It can, but asks for something that is not allowed.
    #[error("{0}")]
    Forbidden(&'static str),
}

fn no_answer(limit: Limit, wish: Result<Search, Problem>) -> AgentError {
    match (limit, wish) {
        (Limit::Workflow, Err(problem)) => AgentError::Malformed { corrections: 1, problem },
        (limit, _) => AgentError::NoAnswer(limit),
    }
}
