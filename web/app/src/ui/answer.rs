//! The answer and its sources.

use loupe_shared::protocol::{RunState, Usage};
use yew::{Callback, Html, html};

use crate::model::sources::{Piece, Source, cite};
use crate::model::timeline::{count, duration};

/// Answers up to this many bytes are a word or two and are set larger.
const SHORT: usize = 80;

/// The answer and its sources. `turn` tells the sources of several questions apart; `lit` is the source that is pointed
/// at, and `on_light` is told when that changes.
pub(crate) fn answer(
    run: &RunState,
    turn: usize,
    lit: Option<usize>,
    on_light: &Callback<Option<usize>>,
) -> Html {
    if run.answer.is_empty() {
        return Html::default();
    }
    let (pieces, sources) = cite(run);
    let class = if run.answer.len() <= SHORT { "answer is-short" } else { "answer" };
    html! {
        <div class="answered">
            <p {class} aria-busy={(!run.is_over()).to_string()}>
                { for pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => html! { <span>{ text }</span> },
                    Piece::Note(number) => note(*number, turn, on_light),
                }) }
            </p>
            if !sources.is_empty() {
                <ol class="sources" aria-label="Sources">
                    { for sources.iter().map(|source| entry(source, turn, lit)) }
                </ol>
            }
        </div>
    }
}

/// What the run cost, in one line.
pub(crate) fn cost(usage: &Usage) -> String {
    let speed = format!("{} tokens/s", usage.tokens_per_second.round() as u32);
    let tokens = format!("{} tokens", usage.generated_tokens);
    let first = format!("first word after {}", duration(usage.first_token_ms));
    [count(usage.searches as usize, "search"), tokens, speed, first].join(" · ")
}

fn anchor(turn: usize, number: usize) -> String {
    format!("source-{turn}-{number}")
}

fn note(number: usize, turn: usize, on_light: &Callback<Option<usize>>) -> Html {
    let light = |at: Option<usize>| {
        let on_light = on_light.clone();
        move || on_light.emit(at)
    };
    let (enter, leave, focus, blur) = (light(Some(number)), light(None), light(Some(number)), light(None));
    html! {
        <sup>
            <a
                href={format!("#{}", anchor(turn, number))} aria-label={format!("Source {number}")}
                onmouseenter={Callback::from(move |_| enter())} onmouseleave={Callback::from(move |_| leave())}
                onfocus={Callback::from(move |_| focus())} onblur={Callback::from(move |_| blur())}
            >{ number }</a>
        </sup>
    }
}

fn entry(source: &Source, turn: usize, lit: Option<usize>) -> Html {
    let Source { number, hit, href, site, passage: [before, used, after] } = source;
    let title = match href {
        Some(href) => html! {
            <a href={href.clone()} target="_blank" rel="noopener noreferrer nofollow">{ &hit.title }</a>
        },
        None => html! { <span>{ &hit.title }</span> },
    };
    html! {
        <li key={*number} id={anchor(turn, *number)} class={if lit == Some(*number) { "is-lit" } else { "" }}>
            <span class="number numeric">{ number }</span>
            <div>
                <p class="title">{ title }<span class="quiet">{ format!(" · {site}") }</span></p>
                <p class="passage">
                    <span class="quiet">{ before }</span>{ used }<span class="quiet">{ after }</span>
                </p>
            </div>
            if let Some(thumb) = hit.thumb.as_ref().filter(|thumb| thumb.starts_with('/')) {
                <img src={thumb.clone()} alt="" loading="lazy" />
            }
        </li>
    }
}
