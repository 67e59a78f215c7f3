//! Name, model, links, light or dark.

use loupe_shared::protocol::{Meta, ProviderMeta, Tool};
use yew::{Html, html};

use super::icons;
use super::links::Links;
use super::theme::ThemeButton;
use crate::model::session::CutBy;

/// The line at the top. `cut_by` is who cut the last upload.
pub(crate) fn masthead(meta: Option<&Meta>, cut_by: Option<CutBy>) -> Html {
    html! {
        <header class="masthead">
            <a class="name" href="/">{ icons::mark() }{ "Loupe" }</a>
            <div class="controls">
                if let Some(meta) = meta {
                    <details class="menu">
                        <summary>{ &meta.model.name }</summary>
                        <div class="sheet">{ about(meta, cut_by) }</div>
                    </details>
                }
                <Links />
                <ThemeButton />
            </div>
        </header>
    }
}

fn about(meta: &Meta, cut_by: Option<CutBy>) -> Html {
    let pixels = match cut_by {
        Some(CutBy::Gpu) => "Pictures are cut by this browser’s GPU.",
        Some(CutBy::Cpu) => "Pictures are cut by this browser’s processor: it offers no GPU to this page.",
        None => "Pictures are cut in this browser; only what you ask about is uploaded.",
    };
    html! {
        <>
            <p>{ &meta.model.about }</p>
            <ul class="providers">{ for meta.search.iter().map(provider) }</ul>
            <p class="quiet">{ pixels }</p>
            <p class="quiet numeric">
                { format!("Loupe {} · protocol {} · {}", meta.version, meta.protocol, meta.model.dialect) }
            </p>
        </>
    }
}

fn provider(provider: &ProviderMeta) -> Html {
    let kind = match provider.kind {
        Tool::ImageSearch => "Picture search",
        Tool::TextSearch => "Text search",
    };
    let state = if provider.healthy { "ready" } else { "not working" };
    html! {
        <li>
            { format!("{kind}: {} — {state}", provider.name) }
            if let Some(problem) = &provider.problem {
                <br /><span class="quiet">{ problem }</span>
            }
        </li>
    }
}
