//! Light or dark: as the system says, unless the user says otherwise.

use yew::{Callback, Html, component, html, use_state};

use super::dom;

const KEY: &str = "loupe.theme";

/// Which colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    /// The system's choice.
    System,
    /// Paper.
    Light,
    /// Graphite.
    Dark,
}

impl Theme {
    /// Reads a name; any other stands for the system's choice.
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }

    /// Paints the page with it.
    pub(crate) fn apply(self) {
        let Some(root) = dom::root() else { return };
        if root.set_attribute("data-theme", self.name()).is_err() {
            web_sys::console::warn_1(&"the colours could not be changed".into());
        }
    }

    /// What this browser chose before.
    pub(crate) fn stored() -> Self {
        let storage = web_sys::window().and_then(|window| window.local_storage().ok().flatten());
        let name = storage.and_then(|storage| storage.get_item(KEY).ok().flatten());
        Self::parse(name.as_deref().unwrap_or_default())
    }

    fn store(self) {
        let storage = web_sys::window().and_then(|window| window.local_storage().ok().flatten());
        if storage.is_some_and(|storage| storage.set_item(KEY, self.name()).is_err()) {
            web_sys::console::warn_1(&"this browser keeps no data, so the colours are not remembered".into());
        }
    }
}

/// Goes from the system's colours to light to dark.
#[component]
pub(crate) fn ThemeButton() -> Html {
    let theme = use_state(Theme::stored);
    let on_click = {
        let theme = theme.clone();
        Callback::from(move |_| {
            let next = theme.next();
            next.apply();
            next.store();
            theme.set(next);
        })
    };
    let label = match *theme {
        Theme::System => "Auto",
        Theme::Light => "Light",
        Theme::Dark => "Dark",
    };
    html! {
        <button type="button" class="plain" onclick={on_click} aria-label={format!("Colours: {label}")}>{ label }</button>
    }
}
