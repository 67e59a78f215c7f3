//! The question bar.

use web_sys::{HtmlTextAreaElement, InputEvent, KeyboardEvent, SubmitEvent};
use yew::{Callback, Html, NodeRef, TargetCast, html};

use super::icons;
use crate::model::session::Busy;

/// What the question bar shows and tells.
pub(crate) struct Bar {
    /// The words so far.
    pub(crate) question: String,
    /// What the question is about: the framed part, or the whole picture.
    pub(crate) subject: Option<String>,
    /// Whether there were questions before.
    pub(crate) follows_up: bool,
    /// Questions to try.
    pub(crate) suggestions: Vec<String>,
    /// What goes on before there is a run.
    pub(crate) busy: Option<Busy>,
    /// Whether a run is under way.
    pub(crate) running: bool,
    /// The text field, so that others can move the focus to it.
    pub(crate) field: NodeRef,
    /// The words changed.
    pub(crate) on_change: Callback<String>,
    /// The question is to be asked.
    pub(crate) on_ask: Callback<()>,
    /// The run is to be stopped.
    pub(crate) on_stop: Callback<()>,
}

/// The question bar.
pub(crate) fn question_bar(bar: &Bar) -> Html {
    let on_input = bar.on_change.reform(|event: InputEvent| {
        let field: HtmlTextAreaElement = event.target_unchecked_into();
        field.value()
    });
    let on_submit = bar.on_ask.reform(|event: SubmitEvent| event.prevent_default());
    let on_key = {
        let on_ask = bar.on_ask.clone();
        Callback::from(move |event: KeyboardEvent| {
            // A key that ends an input method's composition is not ours.
            if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
                event.prevent_default();
                on_ask.emit(());
            }
        })
    };
    let placeholder = if bar.follows_up { "Ask a follow-up question" } else { "Ask about the picture" };
    html! {
        <form class="question" onsubmit={on_submit}>
            if !bar.suggestions.is_empty() {
                <ul class="suggestions" aria-label="Questions to try">
                    { for bar.suggestions.iter().map(|words| suggestion(words, &bar.on_change)) }
                </ul>
            }
            <div class="bar">
                <label class="unseen" for="question">{ "Question" }</label>
                <textarea
                    id="question" ref={bar.field.clone()} rows="1" {placeholder} enterkeyhint="send"
                    value={bar.question.clone()} oninput={on_input} onkeydown={on_key}
                />
                if bar.running {
                    <button type="button" class="act" onclick={bar.on_stop.reform(|_| ())}>{ icons::stop() }{ "Stop" }</button>
                } else {
                    <button type="submit" class="act is-main" disabled={bar.busy.is_some()}>{ icons::send() }{ "Ask" }</button>
                }
            </div>
            <p class="subject quiet">
                if let Some(busy) = bar.busy {
                    <span class="breathes">{ busy.words() }</span>
                } else if let Some(subject) = &bar.subject {
                    { subject }
                }
            </p>
        </form>
    }
}

fn suggestion(words: &str, on_change: &Callback<String>) -> Html {
    let on_click = {
        let (words, on_change) = (words.to_owned(), on_change.clone());
        Callback::from(move |_| on_change.emit(words.clone()))
    };
    html! {
        <li><button type="button" onclick={on_click}>{ words }</button></li>
    }
}
