//! The picture and its frame.
//!
//! - [`overlay`]: the frame, its handles and the places that were searched, drawn over the picture.
//! - [`drag`]: what the pointer and the arrow keys do to the frame.
//! - [`glass`]: the loupe at the handle that is dragged.
//! - [`numbers`]: the frame as numbers that can be typed.

mod drag;
mod glass;
mod numbers;
mod overlay;

use loupe_shared::pixels::Region;
use web_sys::HtmlElement;
use yew::{Callback, Html, Properties, component, html, use_effect_with, use_node_ref, use_state};

use self::numbers::numbers;
use self::overlay::{Overlay, overlay};
use super::dom::use_size;
use crate::model::frame::{Edit, Frame};
use crate::model::session::Picture;

/// A place on the picture that a step searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    /// The number it has in the steps, counted from 1.
    pub(crate) number: usize,
    /// Where it is.
    pub(crate) region: Region,
}

#[derive(PartialEq, Properties)]
pub(crate) struct Props {
    /// The picture.
    pub(crate) picture: Picture,
    /// The frame for the next question.
    pub(crate) frame: Option<Frame>,
    /// Places that the last run searched.
    pub(crate) marks: Vec<Mark>,
    /// The place that is pointed at in the steps.
    pub(crate) lit: Option<Region>,
    /// The frame changed; none where it may not.
    pub(crate) on_frame: Option<Callback<Edit>>,
    /// The picture is to be taken away.
    pub(crate) on_clear: Option<Callback<()>>,
}

/// A length to a tenth of a CSS pixel, in whole numbers: Rust's float formatting would cost the bundle ten kilobytes.
fn px(length: f64) -> String {
    let tenths = (length * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
}

/// The stage.
#[component]
pub(crate) fn Stage(props: &Props) -> Html {
    let Props { picture, frame, marks, lit, on_frame, on_clear } = props;
    let plate = use_node_ref();
    let node = use_node_ref();
    let drag = use_state(|| None);
    let shown = use_size(plate.clone());
    use_effect_with((plate.clone(), picture.size.w / picture.size.h), |(plate, ratio)| {
        // Set through the style object: the page's security policy forbids style attributes.
        if let Some(plate) = plate.cast::<HtmlElement>()
            && plate.style().set_property("--ratio", &format!("calc({} / 1000)", px(ratio * 1000.0))).is_err()
        {
            web_sys::console::warn_1(&"the picture's shape could not be set".into());
        }
    });
    let drawn = Overlay {
        url: &picture.url,
        size: picture.size,
        shown,
        frame: *frame,
        marks,
        lit: *lit,
        on_frame: on_frame.as_ref(),
        drag,
        node,
    };
    html! {
        <figure class="stage">
            <div class="plate" ref={plate}>
                <img src={picture.url.clone()} alt={picture.alt.clone()} draggable="false" />
                // Before the first measurement there is nothing to draw in.
                if shown.0 > 0.0 {
                    { overlay(&drawn) }
                }
            </div>
            <figcaption>
                if let Some(on_frame) = on_frame {
                    { numbers(picture.size, *frame, on_frame) }
                } else {
                    <span class="numeric">{ format!("{} × {}", picture.size.w as u32, picture.size.h as u32) }</span>
                }
                if let Some(on_clear) = on_clear {
                    <button type="button" class="plain" onclick={on_clear.reform(|_| ())}>{ "Other picture" }</button>
                }
            </figcaption>
        </figure>
    }
}
