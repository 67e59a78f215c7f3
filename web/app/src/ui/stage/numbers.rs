//! The frame as numbers that can be typed: the way to frame without dragging.

use web_sys::HtmlInputElement;
use yew::{Callback, Event, Html, TargetCast, html};

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
                { for FIELDS.iter().map(|(field, label, title)| number(*field, label, title, frame, size, on_frame)) }
            </div>
            <span class="numeric quiet">{ format!("of {whole}") }</span>
            <button type="button" class="plain" onclick={on_frame.reform(|_| Edit::To(None))}>{ "Whole picture" }</button>
            <span id="frame-keys" hidden=true>
                { "Arrow keys move the frame, with Shift they resize it, with Alt by single pixels. Escape takes it away." }
            </span>
        </>
    }
}

fn number(
    field: Field,
    label: &'static str,
    title: &'static str,
    frame: Frame,
    size: Size,
    on_frame: &Callback<Edit>,
) -> Html {
    let on_change = on_frame.reform(move |event: Event| {
        let input: HtmlInputElement = event.target_unchecked_into();
        let typed = input.value_as_number();
        // What was typed may be out of bounds: show what it became, also where the frame stays as it is.
        input.set_value(&(frame.with(field, typed, size).field(field) as u32).to_string());
        Edit::Typed(field, typed)
    });
    html! {
        <label>
            <span aria-hidden="true">{ label }</span>
            <input
                type="number" min="0" step="1" inputmode="numeric" aria-label={title}
                value={(frame.field(field) as u32).to_string()} onchange={on_change}
            />
        </label>
    }
}
