//! What the page as a whole listens to: files dropped or pasted, keys, the back button, the keyboard of a phone.

use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{ClipboardEvent, DataTransfer, DragEvent, Event, EventTarget, File, KeyboardEvent};
use yew::{Callback, NodeRef, hook, use_effect_with, use_state_eq};

use super::app::{act, go, read_route};
use super::dom::{self, listen, use_window_event};
use crate::flow::desk::Desk;
use crate::flow::open;
use crate::model::route::Route;
use crate::model::session::Action;

/// Listens, and says whether a file hangs over the page.
#[hook]
pub(super) fn use_page_events(desk: &Desk, field: &NodeRef) -> bool {
    let over = use_state_eq(|| false);
    let hover = |hangs: bool| {
        let over = over.clone();
        Callback::from(move |event: Event| {
            event.prevent_default();
            over.set(hangs);
        })
    };
    use_window_event("dragover", hover(true));
    use_window_event("dragleave", hover(false));
    let on_drop = {
        let over = over.clone();
        act(desk, move |desk, event: Event| {
            event.prevent_default();
            over.set(false);
            take(desk, event.dyn_ref::<DragEvent>().and_then(DragEvent::data_transfer));
        })
    };
    use_window_event("drop", on_drop);
    let on_paste = act(desk, |desk, event: Event| {
        take(desk, event.dyn_ref::<ClipboardEvent>().and_then(ClipboardEvent::clipboard_data));
    });
    use_window_event("paste", on_paste);
    let on_key = {
        let field = field.clone();
        Callback::from(move |event: Event| {
            let is_slash =
                event.dyn_ref::<KeyboardEvent>().is_some_and(|key| key.key() == "/" && !key.ctrl_key());
            if is_slash && !dom::is_typing() {
                event.prevent_default();
                dom::focus(&field);
            }
        })
    };
    use_window_event("keydown", on_key);
    use_window_event("popstate", act(desk, |desk, _: Event| on_back(desk)));
    use_effect_with((), |()| {
        let viewport = web_sys::window().and_then(|window| window.visual_viewport()).map(EventTarget::from);
        listen(viewport, "resize", Callback::from(|_| keep_above_keyboard()))
    });
    *over
}

/// Takes the first file of a drop or a paste; text is left to the field it was pasted into.
fn take(desk: Desk, data: Option<DataTransfer>) {
    if desk.session.shared || desk.session.running().is_some() {
        return;
    }
    let file: Option<File> = data.and_then(|data| data.files()).and_then(|files| files.get(0));
    if let Some(file) = file {
        let name = file.name();
        spawn_local(open::file(desk, file.into(), name));
    }
}

/// The back or forward button: shows what the address now asks for, unless it is there already.
fn on_back(desk: Desk) {
    let route = read_route();
    if let Route::Query(id) = &route
        && desk.session.parent() == Some(id)
    {
        return;
    }
    if matches!(route, Route::Home { .. }) {
        desk.dispatch(Action::Cleared);
    }
    spawn_local(go(desk, route));
}

/// Tells the styles how much of the page a phone's keyboard covers, where the browser does not shrink the page itself.
fn keep_above_keyboard() {
    let Some(window) = web_sys::window() else { return };
    let (Some(viewport), Some(root)) = (window.visual_viewport(), dom::root()) else { return };
    let inner = window.inner_height().ok().and_then(|height| height.as_f64()).unwrap_or_default();
    let covered = (inner - viewport.height() - viewport.offset_top()).max(0.0);
    if root.style().set_property("--keyboard", &format!("{}px", covered as u32)).is_err() {
        web_sys::console::warn_1(&"the question bar could not be moved above the keyboard".into());
    }
}
