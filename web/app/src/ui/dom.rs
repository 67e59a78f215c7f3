//! Listeners and other small dealings with the browser.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Element, Event, EventTarget, HtmlElement, ResizeObserver};
use yew::{Callback, NodeRef, hook, use_effect_with, use_state_eq};

/// Listens to an event of the window while the component is on the page. The first callback is kept, so it has to read
/// what changes through handles.
#[hook]
pub(crate) fn use_window_event(name: &'static str, on_event: Callback<Event>) {
    use_effect_with((), move |()| listen(web_sys::window().map(EventTarget::from), name, on_event));
}

/// Adds a listener and gives what removes it.
pub(crate) fn listen(
    target: Option<EventTarget>,
    name: &'static str,
    on_event: Callback<Event>,
) -> impl FnOnce() {
    let closure = Closure::<dyn FnMut(Event)>::new(move |event| on_event.emit(event));
    if let Some(target) = &target
        && target.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref()).is_err()
    {
        web_sys::console::warn_1(&format!("no listener for {name}").into());
    }
    move || {
        if let Some(target) = target
            && target.remove_event_listener_with_callback(name, closure.as_ref().unchecked_ref()).is_err()
        {
            web_sys::console::warn_1(&format!("the listener for {name} stays").into());
        }
    }
}

/// The displayed width and height of an element in CSS pixels, followed as it changes.
#[hook]
pub(crate) fn use_size(node: NodeRef) -> (f64, f64) {
    let size = use_state_eq(|| (0.0, 0.0));
    let handle = size.clone();
    use_effect_with(node, move |node| {
        let element = node.cast::<Element>();
        let observed = element.clone();
        let closure = Closure::<dyn FnMut()>::new(move || {
            if let Some(element) = &observed {
                let rect = element.get_bounding_client_rect();
                handle.set((rect.width(), rect.height()));
            }
        });
        let observer = ResizeObserver::new(closure.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop(closure);
        }
    });
    *size
}

/// Moves the keyboard's focus.
pub(crate) fn focus(node: &NodeRef) {
    if let Some(element) = node.cast::<HtmlElement>()
        && element.focus().is_err()
    {
        web_sys::console::warn_1(&"the focus could not be moved".into());
    }
}

/// The page's root element.
pub(crate) fn root() -> Option<HtmlElement> {
    web_sys::window()?.document()?.document_element()?.dyn_into().ok()
}

/// The page's title.
pub(crate) fn set_title(title: &str) {
    if let Some(document) = web_sys::window().and_then(|window| window.document()) {
        document.set_title(title);
    }
}

/// Whether the keyboard is writing text.
pub(crate) fn is_typing() -> bool {
    let active =
        web_sys::window().and_then(|window| window.document()).and_then(|document| document.active_element());
    active.is_some_and(|element| matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT"))
}

/// Puts text on the clipboard. Returns whether the browser allowed it.
pub(crate) async fn copy(text: &str) -> bool {
    let Some(window) = web_sys::window() else { return false };
    wasm_bindgen_futures::JsFuture::from(window.navigator().clipboard().write_text(text)).await.is_ok()
}
