//! The frame as numbers that can be typed: the way to frame without dragging.

use web_sys::HtmlInputElement;
use yew::{Callback, Event, Html, InputEvent, Properties, TargetCast, component, html, use_state};

use crate::model::frame::{Edit, Field, Frame, Size};
use crate::ui::icons;

/// The fields with their labels, short and in full.
const FIELDS: [(Field, &str, &str); 4] = [
    (Field::Left, "X", "Left edge in pixels"),
    (Field::Top, "Y", "Top edge in pixels"),
    (Field::Width, "W", "Width in pixels"),
    (Field::Height, "H", "Height in pixels"),
];

/// The numbers, or the way to a frame where there is none.
pub(super) fn numbers(size: Size, frame: Option<Frame>, on_frame: &Callback<Edit>) -> Html {
    let whole = format!("{} × {}", size.w as u32, size.h as u32);
    let Some(frame) = frame else {
        return html! {
            <>
                <button type="button" class="plain" onclick={on_frame.reform(move |_| Edit::To(Some(Frame::middle(size))))}>
                    { icons::frame() }{ "Frame a part" }
                </button>
                <span class="numeric quiet">{ whole }</span>
            </>
        };
    };
    html! {
        <>
            <div class="numbers" role="group" aria-label="Frame">
                { for FIELDS.iter().map(|&(field, label, title)| html! {
                    <Number {field} {label} {title} value={frame.field(field) as u32} on_frame={on_frame.clone()} />
                }) }
            </div>
            <span class="numeric quiet">{ format!("of {whole}") }</span>
            <button type="button" class="plain" onclick={on_frame.reform(|_| Edit::To(None))}>{ "Whole picture" }</button>
            <span id="frame-keys" hidden=true>
                { "Arrow keys move the frame, with Shift they resize it, with Alt by single pixels. Escape takes it away." }
            </span>
        </>
    }
}

#[derive(PartialEq, Properties)]
struct NumberProps {
    field: Field,
    label: &'static str,
    title: &'static str,
    /// What the frame has.
    value: u32,
    on_frame: Callback<Edit>,
}

/// One number. While it is typed it shows what is typed, whatever else draws the page again; once that is done it
/// shows what the frame made of it.
#[component]
fn Number(props: &NumberProps) -> Html {
    let draft = use_state(|| None::<String>);
    let on_input = {
        let draft = draft.clone();
        Callback::from(move |event: InputEvent| {
            let input: HtmlInputElement = event.target_unchecked_into();
            draft.set(Some(input.value()));
        })
    };
    let on_change = {
        let (draft, on_frame, field) = (draft.clone(), props.on_frame.clone(), props.field);
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            draft.set(None);
            on_frame.emit(Edit::Typed(field, input.value_as_number()));
        })
    };
    let value = (*draft).clone().unwrap_or_else(|| props.value.to_string());
    html! {
        <label>
            <span aria-hidden="true">{ props.label }</span>
            <input
                type="number" min="0" step="1" inputmode="numeric" aria-label={props.title}
                {value} oninput={on_input} onchange={on_change}
            />
        </label>
    }
}
