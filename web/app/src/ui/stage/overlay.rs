//! The frame, its handles and the places that were searched, drawn over the picture.
//!
//! Drawn in SVG with attributes only, in CSS pixels of the displayed picture: nothing needs a style.

use loupe_shared::pixels::Region;
use web_sys::{Element, KeyboardEvent, PointerEvent};
use yew::{Callback, Html, NodeRef, TargetCast, UseStateHandle, html};

use super::Mark;
use super::drag::{Drag, Grip, on_key};
use super::glass::glass;
use super::px;
use crate::model::frame::{Edit, Frame, HANDLES, Size};

/// Side of a handle's touch target, in CSS pixels.
const TOUCH: f64 = 44.0;
/// Side of a handle as it is drawn.
const DRAWN: f64 = 10.0;

/// What the overlay is drawn from.
pub(super) struct Overlay<'a> {
    /// The picture.
    pub(super) url: &'a str,
    /// Its size in its own pixels.
    pub(super) size: Size,
    /// The displayed width and height in CSS pixels.
    pub(super) shown: (f64, f64),
    /// The frame.
    pub(super) frame: Option<Frame>,
    /// Places that were searched.
    pub(super) marks: &'a [Mark],
    /// The place that is pointed at.
    pub(super) lit: Option<Region>,
    /// The frame changed; none where it may not.
    pub(super) on_frame: Option<&'a Callback<Edit>>,
    /// What is held.
    pub(super) drag: UseStateHandle<Option<Drag>>,
    /// The element that positions are measured from.
    pub(super) node: NodeRef,
}

/// The overlay.
pub(super) fn overlay(props: &Overlay) -> Html {
    let Overlay { node, drag, .. } = props;
    let scale = props.shown.0 / props.size.w;
    let position = {
        let node = node.clone();
        move |event: &PointerEvent| {
            let rect = node.cast::<Element>().map(|element| element.get_bounding_client_rect());
            let (left, top) = rect.map_or((0.0, 0.0), |rect| (rect.left(), rect.top()));
            ((f64::from(event.client_x()) - left) / scale, (f64::from(event.client_y()) - top) / scale)
        }
    };
    let on_down = {
        let (drag, position, frame) = (drag.clone(), position.clone(), props.frame);
        Callback::from(move |event: PointerEvent| {
            let Some(target) = event.target_dyn_into::<Element>().filter(|_| event.button() == 0) else {
                return;
            };
            let grip = Grip::of(&target);
            drag.set(Some(Drag::begin(&event, grip, position(&event), frame)));
            capture(&event);
        })
    };
    let on_move = {
        let (drag, size, on_frame, frame) = (drag.clone(), props.size, props.on_frame.cloned(), props.frame);
        Callback::from(move |event: PointerEvent| {
            let (Some(held), Some(on_frame)) = (*drag, &on_frame) else { return };
            let (next, changed) = held.moved_to(position(&event), scale, size);
            drag.set(Some(next));
            if changed != frame {
                on_frame.emit(Edit::To(changed));
            }
        })
    };
    let on_up = {
        let (drag, size, on_frame) = (drag.clone(), props.size, props.on_frame.cloned());
        Callback::from(move |_: PointerEvent| {
            if let (Some(tapped), Some(on_frame)) = (drag.and_then(|held| held.tapped(size)), &on_frame) {
                on_frame.emit(Edit::To(Some(tapped)));
            }
            drag.set(None);
        })
    };
    let on_cancel = {
        let drag = drag.clone();
        Callback::from(move |_: PointerEvent| drag.set(None))
    };
    let on_key = {
        let (size, on_frame) = (props.size, props.on_frame.cloned());
        Callback::from(move |event: KeyboardEvent| {
            let Some(on_frame) = &on_frame else { return };
            if let Some(edit) = on_key(&event, size) {
                event.prevent_default();
                on_frame.emit(edit);
            }
        })
    };
    let handlers = props.on_frame.is_some();
    html! {
        <svg
            ref={node.clone()}
            class={if handlers { "overlay" } else { "overlay is-still" }}
            onpointerdown={handlers.then_some(on_down)}
            onpointermove={handlers.then_some(on_move)}
            onpointerup={handlers.then_some(on_up)}
            onpointercancel={handlers.then_some(on_cancel)}
        >
            { shade(props, scale) }
            { for props.marks.iter().map(|mark| draw_mark(mark, props, props.lit)) }
            if let Some(frame) = props.frame {
                { draw_frame(frame, props.size, scale, **drag, &on_key) }
                if let Some(Drag { grip: Grip::Handle(handle), .. }) = **drag {
                    { glass(props.url, props.size, scale, props.shown, frame.handle_at(handle)) }
                }
            }
        </svg>
    }
}

/// Keeps the pointer's events here while it is down. Yew listens at the page's root, so that is the event's current
/// target; the element under the pointer is the one to capture with.
fn capture(event: &PointerEvent) {
    let target = event.target_dyn_into::<Element>();
    if target.is_some_and(|target| target.set_pointer_capture(event.pointer_id()).is_err()) {
        web_sys::console::warn_1(&"the pointer could not be captured".into());
    }
}

/// Dims what is outside the lit place, or else outside the frame.
fn shade(props: &Overlay, scale: f64) -> Html {
    let lit = props.lit.map(|region| Frame::of_region(&region, props.size));
    let Some(Frame { x, y, w, h }) = lit.or(props.frame) else { return Html::default() };
    let (width, height) = props.shown;
    let [width, height, x, y, w, h, up] =
        [width, height, x * scale, y * scale, w * scale, h * scale, -h * scale].map(px);
    let d = format!("M0 0H{width}V{height}H0zM{x} {y}v{h}h{w}v{up}z");
    html! { <path class="shade" {d} fill-rule="evenodd" /> }
}

/// A place that was searched, with its number in a circle.
fn draw_mark(mark: &Mark, props: &Overlay, lit: Option<Region>) -> Html {
    let (width, height) = props.shown;
    let (x, y) = (mark.region.x() * width, mark.region.y() * height);
    let (w, h) = (mark.region.w() * width, mark.region.h() * height);
    let class = if lit == Some(mark.region) { "place is-lit" } else { "place" };
    // Beside the place, clear of a frame's handles; inside it where there is no room.
    let beside = x + w + 20.0;
    let cx = if beside + 12.0 < width { beside } else { x + w - 20.0 };
    let cy = y + 12.0;
    html! {
        <g {class}>
            <rect x={px(x)} y={px(y)} width={px(w)} height={px(h)} />
            <circle cx={px(cx)} cy={px(cy)} r="10" />
            <text x={px(cx)} y={px(cy + 4.5)}>{ mark.number }</text>
        </g>
    }
}

fn draw_frame(
    frame: Frame,
    size: Size,
    scale: f64,
    drag: Option<Drag>,
    on_key: &Callback<KeyboardEvent>,
) -> Html {
    let [x, y, w, h] = [frame.x, frame.y, frame.w, frame.h].map(|n| n * scale);
    let label = format!(
        "Frame of {} by {} pixels at {}, {} in a picture of {} by {}",
        frame.w as u32, frame.h as u32, frame.x as u32, frame.y as u32, size.w as u32, size.h as u32
    );
    let above = if y > 24.0 { y - 8.0 } else { y + h + 18.0 };
    html! {
        <g class="frame" tabindex="0" role="application" aria-label={label} aria-describedby="frame-keys" onkeydown={on_key}>
            if drag.is_some_and(|drag| drag.moved) {
                { thirds(x, y, w, h) }
            }
            <rect class="edge" x={px(x)} y={px(y)} width={px(w)} height={px(h)} data-grip="frame" />
            <text class="size" x={px(x)} y={px(above)}>{ format!("{} × {}", frame.w as u32, frame.h as u32) }</text>
            { for HANDLES.iter().enumerate().map(|(i, handle)| {
                let (hx, hy) = frame.handle_at(*handle);
                draw_handle(i, hx * scale, hy * scale)
            }) }
        </g>
    }
}

fn thirds(x: f64, y: f64, w: f64, h: f64) -> Html {
    let (a, b) = (w / 3.0, h / 3.0);
    let [left, right, upper, lower] = [x + a, x + 2.0 * a, y + b, y + 2.0 * b].map(px);
    let [x, y, w, h] = [x, y, w, h].map(px);
    let d = format!("M{left} {y}v{h}M{right} {y}v{h}M{x} {upper}h{w}M{x} {lower}h{w}");
    html! { <path class="thirds" {d} /> }
}

fn draw_handle(i: usize, x: f64, y: f64) -> Html {
    let square = |side: f64, class: &'static str, grip: Option<String>| {
        html! {
            <rect
                {class} data-grip={grip} x={px(x - side / 2.0)} y={px(y - side / 2.0)} width={px(side)} height={px(side)}
            />
        }
    };
    html! {
        <>
            { square(DRAWN, "handle", None) }
            { square(TOUCH, "touch", Some(i.to_string())) }
        </>
    }
}
