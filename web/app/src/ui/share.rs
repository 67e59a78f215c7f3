//! Making a link.

use loupe_shared::ids::QueryId;
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::{Callback, Event, Html, MouseEvent, Properties, TargetCast, component, html, use_state};

use super::dom;
use crate::flow::share;
use crate::model::links::MyLink;
use crate::model::problem::Problem;

#[derive(PartialEq, Properties)]
pub(crate) struct Props {
    /// The run.
    pub(crate) query_id: QueryId,
    /// What was asked.
    pub(crate) question: String,
}

/// How long a link can live, in days, in words.
const LIVES: [(Option<u32>, &str); 4] =
    [(None, "never"), (Some(1), "after a day"), (Some(7), "after a week"), (Some(30), "after 30 days")];

/// Where making a link stands.
#[derive(Clone, PartialEq)]
enum Stand {
    Choosing,
    Working,
    Made(MyLink),
    Deleted,
    Failed(Problem),
}

/// What goes into the link, then the link.
#[component]
pub(crate) fn ShareSheet(props: &Props) -> Html {
    let stand = use_state(|| Stand::Choosing);
    let with_picture = use_state(|| false);
    let days = use_state(|| None::<u32>);
    let on_make = {
        let (stand, props) = (stand.clone(), (props.query_id.clone(), props.question.clone()));
        let (with_picture, days) = (*with_picture, *days);
        Callback::from(move |_: MouseEvent| {
            let (stand, (query_id, question)) = (stand.clone(), props.clone());
            stand.set(Stand::Working);
            spawn_local(async move {
                let made = share::create(query_id, question, with_picture, days).await;
                stand.set(made.map_or_else(Stand::Failed, Stand::Made));
            });
        })
    };
    let on_delete = {
        let stand = stand.clone();
        Callback::from(move |link: MyLink| {
            let stand = stand.clone();
            spawn_local(async move {
                let deleted = share::delete(&link).await;
                stand.set(deleted.map_or_else(Stand::Failed, |()| Stand::Deleted));
            });
        })
    };
    let on_picture = {
        let with_picture = with_picture.clone();
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            with_picture.set(input.checked());
        })
    };
    let on_days = {
        let days = days.clone();
        Callback::from(move |event: Event| {
            let select: HtmlSelectElement = event.target_unchecked_into();
            days.set(select.value().parse().ok());
        })
    };
    let content = match &*stand {
        Stand::Made(link) => made(link, &on_delete),
        Stand::Deleted => html! { <p>{ "The link is deleted. Whoever opens it is told so." }</p> },
        Stand::Working => html! { <p class="breathes">{ "Making the link" }</p> },
        Stand::Choosing | Stand::Failed(_) => html! {
            <>
                <p class="quiet">{ "Whoever has the link sees the question, the steps and the answer. Nobody else does." }</p>
                <label><input type="checkbox" checked={*with_picture} onchange={on_picture} />{ "With the picture" }</label>
                <label>
                    { "Ends " }
                    <select onchange={on_days}>
                        // Options are put in last to first, so a browser would select the last one by itself.
                        { for LIVES.iter().map(|(life, words)| html! {
                            <option value={life.map(|n| n.to_string()).unwrap_or_default()} selected={*life == *days}>
                                { words }
                            </option>
                        }) }
                    </select>
                </label>
                <button type="button" class="act" onclick={on_make}>{ "Make the link" }</button>
                if let Stand::Failed(problem) = &*stand {
                    <p role="alert">{ format!("{} {}", problem.message, problem.hint) }</p>
                }
            </>
        },
    };
    html! { <div class="share" role="group" aria-label="Share">{ content }</div> }
}

fn made(link: &MyLink, on_delete: &Callback<MyLink>) -> Html {
    let address = share::address(&link.share_id);
    let on_copy = {
        let address = address.clone();
        Callback::from(move |_: MouseEvent| {
            let address = address.clone();
            spawn_local(async move {
                if !dom::copy(&address).await {
                    web_sys::console::info_1(
                        &"the browser did not allow copying; the link can be selected".into(),
                    );
                }
            });
        })
    };
    let on_delete = {
        let (link, on_delete) = (link.clone(), on_delete.clone());
        Callback::from(move |_: MouseEvent| on_delete.emit(link.clone()))
    };
    html! {
        <>
            <input class="address" readonly=true value={address} aria-label="The link" />
            <button type="button" class="act" onclick={on_copy}>{ "Copy" }</button>
            <button type="button" class="plain" onclick={on_delete}>{ "Delete the link" }</button>
        </>
    }
}
