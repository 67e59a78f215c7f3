//! The shared links that this browser made, and deleting them.

use wasm_bindgen_futures::spawn_local;
use yew::{Callback, Event, Html, TargetCast, component, html, use_state};

use crate::flow::share;
use crate::model::links::MyLink;
use crate::model::problem::Problem;

/// A menu of this browser's links; nothing where there are none.
#[component]
pub(crate) fn Links() -> Html {
    let links = use_state(share::mine);
    let problem = use_state(|| None::<Problem>);
    let on_toggle = {
        let links = links.clone();
        // The list may have grown since: read it whenever the menu opens.
        Callback::from(move |event: Event| {
            if event.target_dyn_into::<web_sys::Element>().is_some_and(|menu| menu.has_attribute("open")) {
                links.set(share::mine());
            }
        })
    };
    let on_delete = {
        let (links, problem) = (links.clone(), problem.clone());
        Callback::from(move |link: MyLink| {
            let (links, problem) = (links.clone(), problem.clone());
            spawn_local(async move {
                problem.set(share::delete(&link).await.err());
                links.set(share::mine());
            });
        })
    };
    html! {
        <details class="menu" ontoggle={on_toggle}>
            <summary>{ "My links" }</summary>
            <div class="sheet">
                if links.is_empty() {
                    <p class="quiet">{ "Links that you share from this browser are listed here, and can be deleted here." }</p>
                }
                <ul class="links">
                    { for links.iter().map(|link| row(link, &on_delete)) }
                </ul>
                if let Some(problem) = &*problem {
                    <p role="alert">{ format!("{} {}", problem.message, problem.hint) }</p>
                }
            </div>
        </details>
    }
}

fn row(link: &MyLink, on_delete: &Callback<MyLink>) -> Html {
    let on_click = {
        let (link, on_delete) = (link.clone(), on_delete.clone());
        Callback::from(move |_| on_delete.emit(link.clone()))
    };
    html! {
        <li key={link.share_id.as_str()}>
            <a href={format!("/s/{}", link.share_id)}>{ &link.question }</a>
            <button type="button" class="plain" aria-label={format!("Delete the link to: {}", link.question)} onclick={on_click}>
                { "Delete" }
            </button>
        </li>
    }
}
