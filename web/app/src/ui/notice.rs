//! What went wrong and what to do.

use yew::{Callback, Html, html};

use super::icons;
use crate::model::problem::Problem;

/// A message that stays until it is read.
pub(crate) fn notice(problem: &Problem, on_dismiss: &Callback<()>) -> Html {
    html! {
        <div class="notice" role="alert" data-code={problem.code.clone()}>
            { icons::cross() }
            <p><strong>{ &problem.message }</strong>{ " " }{ &problem.hint }</p>
            <button type="button" class="plain" onclick={on_dismiss.reform(|_| ())}>{ "Dismiss" }</button>
        </div>
    }
}
