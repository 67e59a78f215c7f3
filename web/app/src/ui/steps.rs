//! The timeline.

use loupe_shared::pixels::Region;
use loupe_shared::protocol::{Hit, RunState};
use web_sys::{Element, Event};
use yew::{Callback, Html, TargetCast, html};

use super::icons;
use crate::model::sources::{safe_href, site};
use crate::model::timeline::{Kind, Line, Progress, lines, summary, tally};
use crate::net::api;

/// From this width on there is room to show all steps at once, in CSS pixels.
const ROOMY: f64 = 640.0;

/// The timeline of a run; `on_point` is told which step's place on the picture is pointed at.
pub(crate) fn steps(run: &RunState, on_point: &Callback<Option<Region>>) -> Html {
    let width =
        web_sys::window().and_then(|window| window.inner_width().ok()).and_then(|width| width.as_f64());
    let roomy = width.is_some_and(|width| width >= ROOMY);
    let lines = lines(run);
    if lines.is_empty() {
        return Html::default();
    }
    let busy = lines.iter().any(|line| line.progress == Progress::Running);
    // Where all steps are in sight, the running one need not be told twice.
    let said = if roomy { tally(&lines) } else { summary(&lines) };
    let mut place = 0;
    let rows = lines.iter().enumerate().map(|(i, line)| {
        let number = line.region.map(|_| {
            place += 1;
            place
        });
        row(i, line, number, on_point)
    });
    html! {
        <details class="steps" open={roomy}>
            <summary class={if busy && !roomy { "breathes" } else { "" }}>{ said }</summary>
            <ol>{ for rows }</ol>
        </details>
    }
}

fn row(i: usize, line: &Line, number: Option<usize>, on_point: &Callback<Option<Region>>) -> Html {
    let state = match line.progress {
        Progress::Running => "step is-running",
        Progress::Done => "step",
        Progress::Failed => "step is-failed",
    };
    html! {
        <li key={i} class={state}>
            <span class="stop">{ stop(line) }</span>
            <div class="what">{ body(line) }</div>
            { thumbnail(line, number, on_point) }
        </li>
    }
}

fn stop(line: &Line) -> Html {
    match (line.progress, line.kind) {
        (Progress::Failed, _) => icons::cross(),
        (_, Kind::Picture) => icons::picture(),
        (_, Kind::Words) => icons::words(),
        (_, Kind::Reason | Kind::Pause) => html! { <span class="dot"></span> },
    }
}

fn body(line: &Line) -> Html {
    match (line.kind, line.progress, line.text) {
        (Kind::Reason, _, Some(text)) => html! {
            <details class="reason">
                <summary><span>{ text }</span></summary>
                <p>{ text }</p>
            </details>
        },
        (_, Progress::Failed, Some(text)) => html! {
            <>
                <p class="line">{ heading(line) }</p>
                <p class="why">{ text }{ " The run went on without it." }</p>
            </>
        },
        _ if line.hits.is_empty() => html! { <p class="line">{ heading(line) }</p> },
        _ => html! {
            <details class="found">
                <summary class="line">{ heading(line) }</summary>
                <ol class="hits">{ for line.hits.iter().map(hit) }</ol>
            </details>
        },
    }
}

/// Verb, object, result, time.
fn heading(line: &Line) -> Html {
    let rest: Vec<&str> = line.outcome.as_deref().into_iter().chain(line.time.as_deref()).collect();
    html! {
        <>
            <span>{ &line.title }</span>
            if !rest.is_empty() {
                <span class="quiet numeric">{ format!(" · {}", rest.join(" · ")) }</span>
            }
        </>
    }
}

fn hit(hit: &Hit) -> Html {
    let title = match safe_href(&hit.url) {
        Some(href) => html! {
            <a href={href.to_owned()} target="_blank" rel="noopener noreferrer nofollow">{ &hit.title }</a>
        },
        None => html! { <span>{ &hit.title }</span> },
    };
    html! {
        <li key={hit.rank}>{ title }<span class="quiet">{ format!(" · {}", site(&hit.url)) }</span></li>
    }
}

/// The very picture that was searched. Pointing at it shows its place on the stage.
fn thumbnail(line: &Line, number: Option<usize>, on_point: &Callback<Option<Region>>) -> Html {
    let Some(crop) = line.crop else { return Html::default() };
    let region = line.region;
    let point = |at: Option<Region>| {
        let on_point = on_point.clone();
        move || on_point.emit(at)
    };
    let (enter, leave, focus, blur, tap) =
        (point(region), point(None), point(region), point(None), point(region));
    // A shared run may come without its pictures.
    let on_error = Callback::from(|event: Event| {
        if let Some(image) = event.target_dyn_into::<Element>() {
            image.set_class_name("is-missing");
        }
    });
    let label = match number {
        Some(number) => format!("Show what was searched on the picture, place {number}"),
        None => "The whole picture was searched".to_owned(),
    };
    html! {
        <button
            type="button" class="crop" aria-label={label}
            onmouseenter={Callback::from(move |_| enter())} onmouseleave={Callback::from(move |_| leave())}
            onfocus={Callback::from(move |_| focus())} onblur={Callback::from(move |_| blur())}
            onclick={Callback::from(move |_| tap())}
        >
            <img src={api::image_url(&crop.image_id)} alt="" onerror={on_error} />
            if let Some(number) = number {
                <span class="number" aria-hidden="true">{ number }</span>
            }
        </button>
    }
}
