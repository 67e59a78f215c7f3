//! Yew components, one per part of the page.
//!
//! - [`app`]: the page: store, address, what lies where.
//! - [`page_events`]: files dropped or pasted, keys, the back button.
//! - [`masthead`]: name, model, links, light or dark.
//! - [`stage`]: the picture and its frame.
//! - [`welcome`]: the empty page.
//! - [`question`]: the question bar.
//! - [`turn`]: a question with its steps and its answer.
//! - [`steps`]: the timeline.
//! - [`answer`]: the answer and its sources.
//! - [`share`]: making a link; [`links`]: deleting one.
//! - [`notice`]: what went wrong and what to do.
//! - [`widget`]: talking to the page that embeds this one.
//! - [`theme`]: light or dark; [`dom`]: listeners and such; [`icons`].

mod answer;
mod app;
mod dom;
mod icons;
mod links;
mod masthead;
mod notice;
mod page_events;
mod question;
mod share;
mod stage;
mod steps;
mod theme;
mod turn;
mod welcome;
mod widget;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::studio::client::Studio;

/// Puts the client into the page's `#app`. Called by `app.js` with the address of the worker's script.
#[wasm_bindgen]
pub fn start_app(worker_script: &str) {
    let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
    let Some(root) = document.get_element_by_id("app") else { return };
    match Studio::start(worker_script) {
        Ok(studio) => {
            root.set_inner_html("");
            yew::Renderer::<app::App>::with_root_and_props(root, app::Props { studio }).render();
        }
        Err(problem) => root.set_text_content(Some(&format!("{} {}", problem.message, problem.hint))),
    }
}
