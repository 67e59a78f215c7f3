//! Drawn by hand on a 16-unit grid; they take the colour of the text around them.

use yew::{Html, html};

fn icon(paths: &'static str) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d={paths} /></svg>
    }
}

/// The mark: a lens with a frame's corners in it.
pub(crate) fn mark() -> Html {
    html! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <circle cx="13.5" cy="13.5" r="9" /><path d="m20.2 20.2 7.3 7.3M9.5 12V9.5H12M17.5 15v2.5H15" />
        </svg>
    }
}

/// A picture was searched.
pub(crate) fn picture() -> Html {
    icon("M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9M10.3 10.3 14 14")
}

/// Words were searched.
pub(crate) fn words() -> Html {
    icon("M2.5 4.5h11M2.5 8h8M2.5 11.5h5")
}

/// Something failed.
pub(crate) fn cross() -> Html {
    icon("m4 4 8 8M12 4l-8 8")
}

/// To be sent.
pub(crate) fn send() -> Html {
    icon("M8 13V3M3.5 7.5 8 3l4.5 4.5")
}

/// To be stopped.
pub(crate) fn stop() -> Html {
    icon("M4.5 4.5h7v7h-7z")
}

/// A frame's corners.
pub(crate) fn frame() -> Html {
    icon("M2.5 5.5v-3h3M10.5 2.5h3v3M13.5 10.5v3h-3M5.5 13.5h-3v-3")
}
