//! A conversation as the agent has it, written by somebody who knows the way: the same turns in the same words, so
//! that what is trained is what is run.

use std::sync::Arc;

use loupe_agent::conversation::user_turn;
use loupe_agent::dialect::{Action, Dialect, ImageTarget, QueryContext};
use loupe_agent::information::{image_hits, text_hits};
use loupe_mllm::engine::{Message, Role};
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::Hit;

use super::questions::{Chain, Lookup};

/// A conversation being written.
pub struct Episode<'a> {
    dialect: &'a dyn Dialect,
    context: QueryContext,
    question: String,
    messages: Vec<Message>,
}

impl<'a> Episode<'a> {
    /// Asks a question about some pictures (the whole first, the framed part second; none where the picture is left
    /// out).
    #[must_use]
    pub fn ask(
        dialect: &'a dyn Dialect,
        context: QueryContext,
        question: &str,
        pictures: &[Arc<Rgb8>],
    ) -> Self {
        let first = dialect.initial_turn(question, &context);
        Self::open(dialect, context, question, user_turn(pictures, first))
    }

    /// Asks in one turn for the answer, with what was looked up before (often nothing): the workflows `direct` and `rag`.
    #[must_use]
    pub fn ask_for_answer(
        dialect: &'a dyn Dialect,
        context: QueryContext,
        question: &str,
        information: &str,
        pictures: &[Arc<Rgb8>],
    ) -> Self {
        let only = dialect.answer_only(question, information, &context);
        Self::open(dialect, context, question, user_turn(pictures, only))
    }

    fn open(dialect: &'a dyn Dialect, context: QueryContext, question: &str, first: Message) -> Self {
        let system = dialect.system(&context).map(|text| Message::text(Role::System, text));
        let messages = system.into_iter().chain([first]).collect();
        Self { dialect, context, question: question.to_owned(), messages }
    }

    fn act(&mut self, reason: String, action: Action) {
        let text = self.dialect.render(&[Action::Reason(reason), action], &self.context);
        self.messages.push(Message::text(Role::Assistant, text));
    }

    fn tell(&mut self, text: String) {
        self.messages.push(Message::text(Role::User, text));
    }

    /// Searches by picture, with `chain` ahead, and reads what came.
    pub fn search_image(&mut self, target: ImageTarget, chain: &Chain, hits: &[Hit]) {
        let which = if target == ImageTarget::Whole { "this" } else { "that" };
        let reason = format!("I have to find out whose flag {which} is{}.", then(&chain.lookups));
        self.act(reason, Action::ImageSearch(target));
        self.tell(self.dialect.after_image_search(&self.question, &image_hits(hits)));
    }

    /// Searches once more after a search by picture that brought nothing.
    pub fn search_image_again(&mut self, target: ImageTarget, hits: &[Hit]) {
        self.act("The result is unclear. I search again.".to_owned(), Action::ImageSearch(target));
        self.tell(self.dialect.after_image_search(&self.question, &image_hits(hits)));
    }

    /// Searches by words for the page of look-up `step` of a chain and reads what came.
    pub fn search_text(&mut self, chain: &Chain, step: usize, hits: &[Hit]) {
        let Some((lookup, after)) = chain.lookups.get(step..).and_then(<[Lookup]>::split_first) else {
            return;
        };
        let before = known_before(chain, step);
        let reason = format!("{before} I need its {}{}.", lookup.fact.noun(), then(after));
        self.act(reason, Action::TextSearch(lookup.query()));
        self.tell(self.dialect.after_text_search(&self.question, &text_hits(hits)));
    }

    /// Answers; the end.
    pub fn answer(&mut self, reason: &str, answer: &str) {
        self.act(reason.to_owned(), Action::Answer(answer.to_owned()));
    }

    /// The conversation.
    #[must_use]
    pub fn into_messages(self) -> Vec<Message> {
        self.messages
    }
}

/// What is to be looked up afterwards. Said in every turn: a small model that has to count anew how many look-ups a
/// question asks for stops one early, but it copies a list well.
fn then(lookups: &[Lookup]) -> String {
    lookups.iter().map(|lookup| format!(", then its {}", lookup.fact.noun())).collect()
}

/// What is known before look-up `step` of a chain: whose flag it is, or what the page before said.
fn known_before(chain: &Chain, step: usize) -> String {
    match step.checked_sub(1).and_then(|before| chain.lookups.get(before)) {
        Some(lookup) => format!("The largest neighbour is {}.", lookup.gold.answer),
        None => format!("It is the flag of {}.", chain.country),
    }
}

/// What is known at the end of a chain.
#[must_use]
pub fn known_at_end(chain: &Chain) -> String {
    match chain.lookups.last() {
        Some(_) => "The page says it.".to_owned(),
        None => format!("It is the flag of {}.", chain.country),
    }
}
