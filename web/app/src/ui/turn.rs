//! A question with its steps and its answer.

use loupe_shared::pixels::Region;
use loupe_shared::protocol::Status;
use wasm_bindgen_futures::spawn_local;
use yew::{Callback, Html, MouseEvent, Properties, component, html, use_state};

use super::answer::{answer, cost};
use super::share::ShareSheet;
use super::steps::steps;
use super::{dom, icons};
use crate::model::session::Turn;

#[derive(PartialEq, Properties)]
pub(crate) struct Props {
    /// The question and its run.
    pub(crate) turn: Turn,
    /// Which question of the page it is.
    pub(crate) index: usize,
    /// Whether it is the newest and can be asked again or followed up.
    pub(crate) is_open: bool,
    /// A place on the picture is pointed at, or no longer.
    pub(crate) on_point: Callback<Option<Region>>,
    /// The same question is to be asked again.
    pub(crate) on_again: Callback<String>,
    /// A follow-up question is to be typed.
    pub(crate) on_follow_up: Callback<()>,
}

/// What is unfolded under the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Nothing,
    Share,
    Wrong,
}

/// A question with its steps and its answer.
#[component]
pub(crate) fn TurnView(props: &Props) -> Html {
    let Props { turn, index, is_open, on_point, on_again, on_follow_up } = props;
    let below = use_state(|| Below::Nothing);
    let copied = use_state(|| false);
    let lit = use_state(|| None::<usize>);
    let on_light = {
        let lit = lit.clone();
        Callback::from(move |number| lit.set(number))
    };
    let toggle = |what: Below| {
        let below = below.clone();
        Callback::from(move |_: MouseEvent| below.set(if *below == what { Below::Nothing } else { what }))
    };
    let on_copy = {
        let (copied, text) = (copied.clone(), turn.run.answer.clone());
        Callback::from(move |_: MouseEvent| {
            let (copied, text) = (copied.clone(), text.clone());
            spawn_local(async move { copied.set(dom::copy(&text).await) });
        })
    };
    let on_again = {
        let (on_again, question) = (on_again.clone(), turn.question.clone());
        Callback::from(move |_: MouseEvent| on_again.emit(question.clone()))
    };
    let run = &turn.run;
    let pressed = |what: Below| (*below == what).to_string();
    html! {
        <article class="turn" data-status={status_name(run.status)}>
            <h2 onmouseenter={point(on_point, turn.focus)} onmouseleave={point(on_point, None)}>{ &turn.question }</h2>
            { steps(run, on_point) }
            if turn.reconnecting {
                <p class="why breathes">{ "The connection broke. Loupe is reached for again; the run goes on by itself." }</p>
            }
            { answer(run, *index, *lit, &on_light) }
            { ending(turn, *is_open, &on_again) }
            if run.status == Status::Done {
                <div class="after">
                    <button type="button" class="plain" onclick={on_copy}>{ if *copied { "Copied" } else { "Copy" } }</button>
                    if turn.query_id.is_some() {
                        <button type="button" class="plain" aria-expanded={pressed(Below::Share)} onclick={toggle(Below::Share)}>
                            { "Share" }
                        </button>
                    }
                    if *is_open {
                        <button type="button" class="plain" onclick={on_follow_up.reform(|_| ())}>{ "Follow up" }</button>
                        <button type="button" class="plain" aria-expanded={pressed(Below::Wrong)} onclick={toggle(Below::Wrong)}>
                            { "Wrong?" }
                        </button>
                    }
                    if let Some(usage) = &run.usage {
                        <span class="cost quiet numeric">{ cost(usage) }</span>
                    }
                </div>
            }
            { match (*below, &turn.query_id) {
                (Below::Share, Some(query_id)) => html! {
                    <ShareSheet query_id={query_id.clone()} question={turn.question.clone()} />
                },
                (Below::Wrong, _) => wrong(&on_again),
                _ => Html::default(),
            } }
        </article>
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Done => "done",
        Status::Error => "error",
        Status::Cancelled => "cancelled",
    }
}

fn point(on_point: &Callback<Option<Region>>, at: Option<Region>) -> Callback<MouseEvent> {
    on_point.reform(move |_| at)
}

/// How a run ended that has no answer.
fn ending(turn: &Turn, is_open: bool, on_again: &Callback<MouseEvent>) -> Html {
    let (words, code) = match (turn.run.status, &turn.run.error) {
        (Status::Cancelled, _) => ("Stopped.", "cancelled"),
        (Status::Error, Some(error)) => (error.message.as_str(), error.code.as_str()),
        (Status::Error, None) => ("The run failed without saying why.", "unknown"),
        _ => return Html::default(),
    };
    html! {
        <div class="notice" data-code={code.to_owned()}>
            { icons::cross() }
            <p>{ words }</p>
            if is_open {
                <button type="button" class="plain" onclick={on_again.clone()}>{ "Ask again" }</button>
            }
        </div>
    }
}

/// What helps against a wrong answer.
fn wrong(on_again: &Callback<MouseEvent>) -> Html {
    html! {
        <div class="share" role="group" aria-label="Wrong answer">
            <p class="quiet">
                { "Check the sources and the searched crop first. A tighter frame around the thing you mean, \
                   or its name in the question, usually helps." }
            </p>
            <button type="button" class="act" onclick={on_again.clone()}>{ "Ask again" }</button>
        </div>
    }
}
