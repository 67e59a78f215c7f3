//! The one store: what the page shows, and how each act and each event changes it.

use loupe_shared::ids::{ImageId, QueryId};
use loupe_shared::pixels::Region;
use loupe_shared::protocol::{Envelope, Event, ImageRole, Meta, QueryRequest, RunState, SharedRun};

use serde::Deserialize;

use super::frame::{Edit, Frame, Size};
use super::problem::Problem;

/// The picture on the stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Where the page gets it from: an object URL.
    pub url: String,
    /// What it shows or is called, for people who cannot see it.
    pub alt: String,
    /// Upright size in pixels.
    pub size: Size,
    /// The server's copy of the whole, once it is there.
    pub stored: Option<ImageId>,
    /// Whether this browser has the original, and not only the server's copy.
    pub original: bool,
    /// Questions that fit it, for sample scenes.
    pub suggestions: Vec<String>,
}

/// A question and its run.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The run; none for a shared one, which has no run on this server any more.
    pub query_id: Option<QueryId>,
    /// What was asked.
    pub question: String,
    /// The part that was framed.
    pub focus: Option<Region>,
    /// Where it stands.
    pub run: RunState,
    /// Whether the stream of events broke and is being opened again.
    pub reconnecting: bool,
}

/// What the client reads of `GET /api/v1/queries/{id}`: not the run's state, which it folds from the log like any other
/// reader of events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Asked {
    /// The run.
    pub query_id: QueryId,
    /// What was asked.
    pub query: QueryRequest,
}

/// What keeps the question bar busy before there is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// Reading and decoding a file.
    Opening,
    /// Cutting what is uploaded.
    Cutting,
    /// Uploading and asking.
    Sending,
    /// Fetching an earlier run.
    Loading,
}

impl Busy {
    /// What is going on, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Opening => "Opening the picture",
            Self::Cutting => "Cutting the picture",
            Self::Sending => "Sending the question",
            Self::Loading => "Loading the run",
        }
    }
}

/// Who cuts pictures in this browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutBy {
    /// Compute shaders.
    Gpu,
    /// The same arithmetic in the worker.
    Cpu,
}

impl CutBy {
    /// Its name in messages and in the page's address.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Gpu, Self::Cpu].into_iter().find(|by| by.name() == name)
    }
}

/// Everything the page shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Session {
    /// What the server is, once it has said so.
    pub meta: Option<Meta>,
    /// The picture on the stage.
    pub picture: Option<Picture>,
    /// The frame for the next question.
    pub frame: Option<Frame>,
    /// The words in the question bar.
    pub question: String,
    /// Questions asked about the picture, oldest first.
    pub turns: Vec<Turn>,
    /// What goes on before there is a run.
    pub busy: Option<Busy>,
    /// What went wrong last.
    pub problem: Option<Problem>,
    /// Whether this is someone's shared run, which cannot be continued.
    pub shared: bool,
    /// Who cut the last upload.
    pub cut_by: Option<CutBy>,
}

/// What changes the store.
#[derive(Debug, Clone)]
pub enum Action {
    /// The server said what it is.
    Meta(Box<Meta>),
    /// The words in the question bar changed.
    Question(String),
    /// The frame was drawn, moved or taken away.
    Frame(Edit),
    /// Something began, or ended without a result.
    Busy(Option<Busy>),
    /// A picture is on the stage; questions about another one leave.
    Opened(Picture),
    /// A part was cut for upload.
    Cut(CutBy),
    /// The server has the whole picture.
    Stored(ImageId),
    /// A run began.
    Asked(Turn),
    /// Earlier runs came back, with their picture where it is still there.
    Restored {
        /// Oldest first.
        turns: Vec<Turn>,
        /// Their picture.
        picture: Option<Picture>,
        /// Whether they are someone's shared run.
        shared: bool,
    },
    /// Events of a run, in order.
    Events(QueryId, Vec<Envelope>),
    /// The stream of a run's events broke, or is whole again.
    Reconnecting(QueryId, bool),
    /// Something went wrong; ends what was going on.
    Failed(Problem),
    /// The message was read.
    Dismissed,
    /// Back to an empty page.
    Cleared,
}

impl Session {
    /// The store after an action.
    #[must_use]
    pub fn after(&self, action: Action) -> Self {
        let mut next = self.clone();
        next.apply(action);
        next
    }

    /// The run that is under way.
    #[must_use]
    pub fn running(&self) -> Option<&Turn> {
        self.turns.last().filter(|turn| !turn.run.is_over())
    }

    /// The run that the next question follows up.
    #[must_use]
    pub fn parent(&self) -> Option<&QueryId> {
        self.turns.iter().rev().find_map(|turn| turn.query_id.as_ref())
    }

    /// Why the question cannot be asked now; `None` where it can.
    #[must_use]
    pub fn refusal(&self) -> Option<Problem> {
        let limit = self.meta.as_ref().map_or(4_000, |meta| meta.limits.question_bytes as usize);
        if self.question.trim().is_empty() {
            return Some(Problem::new(
                "empty_question",
                "There is no question yet.",
                "Type what you want to know.",
            ));
        }
        if self.question.len() > limit {
            return Some(Problem::new(
                "question_too_long",
                format!("The question has {} bytes; Loupe takes {limit}.", self.question.len()),
                "Shorten it.",
            ));
        }
        None
    }

    /// The frame as fractions of the picture; none where there is no frame or it is the whole picture.
    #[must_use]
    pub fn focus(&self) -> Option<Region> {
        self.frame?.region(self.picture.as_ref()?.size)
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Meta(meta) => self.meta = Some(*meta),
            Action::Question(question) => self.question = question,
            Action::Frame(edit) => {
                if let Some(picture) = &self.picture {
                    self.frame = edit.apply(self.frame, picture.size);
                }
            }
            Action::Busy(busy) => self.begin(busy),
            Action::Opened(picture) => {
                let Self { meta, question, .. } = std::mem::take(self);
                *self = Self { meta, question, picture: Some(picture), ..Self::default() };
            }
            Action::Cut(by) => self.cut_by = Some(by),
            Action::Stored(id) => {
                if let Some(picture) = &mut self.picture {
                    picture.stored = Some(id);
                }
            }
            Action::Asked(turn) => {
                self.turns.push(turn);
                self.question.clear();
                self.busy = None;
            }
            Action::Restored { turns, picture, shared } => {
                let meta = self.meta.take();
                *self = Self { meta, turns, picture, shared, ..Self::default() };
            }
            Action::Events(query_id, events) => self.fold(&query_id, &events),
            Action::Reconnecting(query_id, reconnecting) => {
                if let Some(turn) = self.turn(&query_id) {
                    turn.reconnecting = reconnecting;
                }
            }
            Action::Failed(problem) => {
                self.busy = None;
                self.problem = Some(problem);
            }
            Action::Dismissed => self.problem = None,
            Action::Cleared => *self = Self { meta: self.meta.take(), ..Self::default() },
        }
    }

    fn begin(&mut self, busy: Option<Busy>) {
        self.busy = busy;
        if busy.is_some() {
            self.problem = None;
        }
    }

    fn turn(&mut self, query_id: &QueryId) -> Option<&mut Turn> {
        self.turns.iter_mut().find(|turn| turn.query_id.as_ref() == Some(query_id))
    }

    fn fold(&mut self, query_id: &QueryId, events: &[Envelope]) {
        let Some(turn) = self.turn(query_id) else { return };
        turn.reconnecting = false;
        if !fold_into(&mut turn.run, events) {
            self.problem = Some(Problem::new(
                "unreadable_event",
                "A step of this run could not be read.",
                "The server may be newer than this page. Reload the page.",
            ));
        }
    }
}

/// Folds events into a run. Returns whether all of them could be read; one that cannot is passed over, as an unknown
/// kind is.
fn fold_into(run: &mut RunState, events: &[Envelope]) -> bool {
    let mut all_read = true;
    for envelope in events {
        let event = envelope.event().unwrap_or_else(|_| {
            all_read = false;
            Event::Unknown { kind: envelope.kind.clone(), data: envelope.data.clone() }
        });
        run.apply(envelope.seq, &event);
    }
    all_read
}

impl Turn {
    /// A run that was just created.
    #[must_use]
    pub fn asked(query_id: QueryId, question: String, focus: Option<Region>) -> Self {
        Self { query_id: Some(query_id), question, focus, run: RunState::default(), reconnecting: false }
    }

    /// A run of this server, whose log is still to be read.
    #[must_use]
    pub fn of_asked(asked: Asked) -> Self {
        let focus = focus_of(&asked.query);
        Self::asked(asked.query_id, asked.query.question, focus)
    }

    /// A shared run, folded from its log.
    #[must_use]
    pub fn of_share(shared: &SharedRun) -> Self {
        let mut run = RunState::default();
        fold_into(&mut run, &shared.events);
        Self {
            query_id: None,
            question: shared.query.question.clone(),
            focus: focus_of(&shared.query),
            run,
            reconnecting: false,
        }
    }
}

fn focus_of(query: &QueryRequest) -> Option<Region> {
    query.images.iter().find(|image| image.role == ImageRole::Focus).and_then(|image| image.region)
}

/// The whole picture of a query.
#[must_use]
pub fn whole_of(query: &QueryRequest) -> Option<&ImageId> {
    query.images.iter().find(|image| image.role == ImageRole::Whole).map(|image| &image.image_id)
}

#[cfg(test)]
mod tests {
    use loupe_shared::protocol::{Done, Status, TextDelta, Usage};
    use serde_json::json;

    use super::*;

    fn id() -> QueryId {
        QueryId::parse("0123456789_-abcdefghij").unwrap()
    }

    fn picture() -> Picture {
        Picture {
            url: "blob:1".into(),
            alt: "a scene".into(),
            size: Size { w: 100.0, h: 80.0 },
            stored: None,
            original: true,
            suggestions: Vec::new(),
        }
    }

    fn asking() -> Session {
        let turn = Turn::asked(id(), "What?".into(), None);
        Session::default().after(Action::Opened(picture())).after(Action::Asked(turn))
    }

    fn answer(text: &str) -> Event {
        Event::AnswerDelta(TextDelta { text: text.into() })
    }

    fn done(text: &str) -> Event {
        Event::Done(Done { answer: text.into(), citations: Vec::new(), usage: Usage::default() })
    }

    #[test]
    fn events_that_come_twice_count_once() {
        let events = vec![Envelope::new(1, 0, &answer("Par")), Envelope::new(2, 0, &answer("is"))];
        let session =
            asking().after(Action::Events(id(), events.clone())).after(Action::Events(id(), events));
        assert_eq!(session.turns[0].run.answer, "Paris");
        assert!(session.running().is_some());
        let end = vec![Envelope::new(3, 0, &done("Paris"))];
        assert!(session.after(Action::Events(id(), end)).running().is_none());
    }

    #[test]
    fn a_broken_event_is_told_and_passed_over() {
        let broken = Envelope {
            kind: "answer.delta".into(),
            data: json!({"text": 5}),
            ..Envelope::new(1, 0, &answer(""))
        };
        let events = vec![broken, Envelope::new(2, 0, &done("Paris"))];
        let session = asking().after(Action::Events(id(), events));
        assert_eq!(session.turns[0].run.status, Status::Done);
        assert_eq!(session.problem.unwrap().code, "unreadable_event");
    }

    #[test]
    fn events_of_a_run_that_left_the_page_are_ignored() {
        let cleared = asking().after(Action::Cleared);
        assert_eq!(cleared.after(Action::Events(id(), vec![Envelope::new(1, 0, &answer("x"))])), cleared);
    }

    #[test]
    fn another_picture_begins_another_conversation() {
        let session = asking().after(Action::Question("And this?".into())).after(Action::Opened(picture()));
        assert!(session.turns.is_empty());
        assert_eq!(session.question, "And this?");
    }

    #[test]
    fn a_question_is_refused_with_what_to_do() {
        let session = Session::default();
        assert_eq!(session.refusal().unwrap().code, "empty_question");
        let long = session.after(Action::Question("é".repeat(2_001)));
        assert_eq!(long.refusal().unwrap().code, "question_too_long");
        assert_eq!(session.after(Action::Question("What is it?".into())).refusal(), None);
    }

    #[test]
    fn a_failure_ends_what_was_going_on() {
        let session = Session::default().after(Action::Busy(Some(Busy::Sending)));
        let failed = session.after(Action::Failed(Problem::offline()));
        assert_eq!((failed.busy, failed.problem.is_some()), (None, true));
        assert_eq!(failed.after(Action::Busy(Some(Busy::Sending))).problem, None);
    }
}
