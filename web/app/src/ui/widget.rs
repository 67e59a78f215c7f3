//! Talking to the page that embeds this one.
//!
//! Messages are `{mm: {v: 1, type, …}}`. Only the origin that the widget's loader named is spoken to or heard, and only
//! from the window that holds this one.

use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, Event, MessageEvent, Window};
use yew::{Callback, NodeRef, hook, use_effect_with};

use super::dom::{use_size, use_window_event};
use super::theme::Theme;
use crate::flow::desk::Desk;
use crate::flow::open;
use crate::model::route::Route;
use crate::model::session::Action;

/// Version of the messages.
const VERSION: u32 = 1;

/// Tells the embedding page how high this one is, its answers and its failures; hears its picture and its colours.
#[hook]
pub(super) fn use_widget(desk: &Desk, root: &NodeRef) {
    let host = host_of(&desk.route);
    let on_message = {
        let (desk, host) = (desk.clone(), host.clone());
        Callback::from(move |event: Event| {
            let Some(event) = event.dyn_ref::<MessageEvent>() else { return };
            if let Some(message) = host.as_deref().and_then(|host| heard(event, host)) {
                obey(&desk, &message);
            }
        })
    };
    use_window_event("message", on_message);
    use_effect_with(host.clone(), |host| say(host.as_deref(), "ready", &[]));
    let (_, height) = use_size(root.clone());
    use_effect_with((host.clone(), height), |(host, height)| {
        say(host.as_deref(), "resize", &[("height", height.ceil().into())]);
    });
    let answer =
        desk.session.turns.last().filter(|turn| turn.run.is_over()).map(|turn| turn.run.answer.clone());
    use_effect_with((host.clone(), answer), |(host, answer)| {
        if let Some(answer) = answer.as_ref().filter(|answer| !answer.is_empty()) {
            say(host.as_deref(), "answer", &[("text", answer.into())]);
        }
    });
    use_effect_with((host, desk.session.problem.clone()), |(host, problem)| {
        if let Some(problem) = problem {
            let fields =
                [("code", problem.code.as_str().into()), ("message", problem.message.as_str().into())];
            say(host.as_deref(), "error", &fields);
        }
    });
}

fn host_of(route: &Route) -> Option<String> {
    match route {
        Route::Embed { host, .. } => host.clone(),
        _ => None,
    }
}

/// The window that holds this one; none where this one is on top.
fn holder() -> Option<Window> {
    let window = web_sys::window()?;
    window.parent().ok()?.filter(|parent| *parent != window)
}

/// The message in an event, if it comes from the right window of the right origin.
fn heard(event: &MessageEvent, host: &str) -> Option<JsValue> {
    let source: JsValue = event.source()?.into();
    let from_holder = holder().is_some_and(|holder| JsValue::from(holder) == source);
    if !from_holder || event.origin() != host {
        return None;
    }
    let message = Reflect::get(&event.data(), &"mm".into()).ok()?;
    let version = Reflect::get(&message, &"v".into()).ok()?.as_f64()?;
    (version == f64::from(VERSION)).then_some(message)
}

fn obey(desk: &Desk, message: &JsValue) {
    let field = |name: &str| Reflect::get(message, &name.into()).unwrap_or(JsValue::UNDEFINED);
    match field("type").as_string().as_deref() {
        Some("theme") => Theme::parse(&field("theme").as_string().unwrap_or_default()).apply(),
        Some("question") => desk.dispatch(Action::Question(field("text").as_string().unwrap_or_default())),
        Some("image") => {
            if let Ok(blob) = field("image").dyn_into::<Blob>() {
                let alt = field("alt").as_string().unwrap_or_default();
                spawn_local(open::file(desk.clone(), blob, alt));
            }
        }
        _ => {}
    }
}

fn say(host: Option<&str>, kind: &str, fields: &[(&str, JsValue)]) {
    let (Some(host), Some(holder)) = (host, holder()) else { return };
    let (outer, message) = (Object::new(), Object::new());
    let all = [("v", VERSION.into()), ("type", kind.into())].into_iter().chain(fields.iter().cloned());
    let written =
        all.map(|(name, value)| Reflect::set(&message, &name.into(), &value)).all(|set| set.is_ok())
            && Reflect::set(&outer, &"mm".into(), &message).is_ok();
    if !written || holder.post_message(&outer, host).is_err() {
        web_sys::console::warn_1(&"the embedding page could not be told".into());
    }
}
