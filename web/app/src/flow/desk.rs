//! What every act needs.

use std::rc::Rc;

use wasm_bindgen::JsValue;
use yew::{Reducible, UseReducerHandle};

use crate::model::problem::Problem;
use crate::model::route::Route;
use crate::model::session::{Action, CutBy, Session};
use crate::studio::client::Studio;

impl Reducible for Session {
    type Action = Action;

    fn reduce(self: Rc<Self>, action: Action) -> Rc<Self> {
        Rc::new(self.after(action))
    }
}

/// The store, the worker and what the address asked for. Reading the store through it always gives its present state.
#[derive(Clone, PartialEq)]
pub(crate) struct Desk {
    /// The store.
    pub(crate) session: UseReducerHandle<Session>,
    /// The worker.
    pub(crate) studio: Studio,
    /// What the page was opened for.
    pub(crate) route: Route,
    /// Which executor must cut (`?pixels=gpu` or `cpu`); the best one where none is named.
    pub(crate) cut_by: Option<CutBy>,
}

impl Desk {
    /// Changes the store.
    pub(crate) fn dispatch(&self, action: Action) {
        self.session.dispatch(action);
    }

    /// Changes the store and passes failures on to the user.
    pub(crate) fn report<T>(&self, outcome: Result<T, Problem>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(problem) => {
                self.dispatch(Action::Failed(problem));
                None
            }
        }
    }

    /// Shows a path in the address bar. A widget has no address of its own.
    pub(crate) fn show_path(&self, path: &str, replace: bool) {
        if self.route.is_embed() {
            return;
        }
        let Some(history) = web_sys::window().and_then(|window| window.history().ok()) else { return };
        let shown = if replace {
            history.replace_state_with_url(&JsValue::NULL, "", Some(path))
        } else {
            history.push_state_with_url(&JsValue::NULL, "", Some(path))
        };
        if shown.is_err() {
            web_sys::console::warn_1(&"the address could not be changed".into());
        }
    }
}
