//! The empty page: where a picture goes, scenes to try, and what the model can do.

use loupe_shared::protocol::{Meta, Sample};
use web_sys::{File, HtmlInputElement};
use yew::{Callback, Event, Html, TargetCast, html};

use super::icons;

/// Where a picture goes, and scenes to try; `over` says that a file hangs over the page.
pub(crate) fn drop_zone(
    samples: &[Sample],
    over: bool,
    on_file: Callback<File>,
    on_sample: &Callback<Sample>,
) -> Html {
    let on_choose = Callback::from(move |event: Event| {
        let input: HtmlInputElement = event.target_unchecked_into();
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            on_file.emit(file);
        }
        // The same file can be chosen again.
        input.set_value("");
    });
    html! {
        <div class="empty">
            <label class={if over { "drop is-over" } else { "drop" }}>
                <input type="file" accept="image/png,image/jpeg,image/webp" class="unseen" onchange={on_choose} />
                <span class="corners" aria-hidden="true"></span>
                <span class="hint">
                    { icons::frame() }
                    <span class="big">{ if over { "Let go" } else { "Drop a picture here" } }</span>
                    <span class="quiet">{ "or paste one, or " }<span class="link">{ "choose a file" }</span></span>
                </span>
            </label>
            if !samples.is_empty() {
                <div class="samples" role="group" aria-label="Sample scenes">
                    { for samples.iter().take(3).map(|sample| scene(sample, on_sample)) }
                </div>
            }
        </div>
    }
}

fn scene(sample: &Sample, on_sample: &Callback<Sample>) -> Html {
    let on_click = {
        let (sample, on_sample) = (sample.clone(), on_sample.clone());
        Callback::from(move |_| on_sample.emit(sample.clone()))
    };
    html! {
        <button type="button" key={sample.url.clone()} onclick={on_click}>
            <img src={sample.url.clone()} alt={sample.alt.clone()} />
        </button>
    }
}

/// One sentence, and what the loaded model can and cannot do.
pub(crate) fn intro(meta: Option<&Meta>) -> Html {
    html! {
        <div class="intro">
            <p class="lead">{ "Point at something in a picture, ask, and get an answer that was looked up." }</p>
            if let Some(meta) = meta {
                <p class="quiet about"><strong>{ &meta.model.name }</strong>{ " answers here. " }{ &meta.model.about }</p>
            }
        </div>
    }
}
