//! The loupe: true pixels at the handle that is dragged.

use yew::{Html, html};

use super::px;
use crate::model::frame::Size;

/// Radius in CSS pixels.
const RADIUS: f64 = 46.0;
/// Distance of its middle from the handle: clear of a finger.
const AWAY: f64 = 76.0;

/// The loupe over a handle at `at`, in pixels of the picture. `shown` is the displayed width and height, `scale` CSS
/// pixels per pixel of the picture.
pub(super) fn glass(url: &str, size: Size, scale: f64, shown: (f64, f64), at: (f64, f64)) -> Html {
    let (x, y) = (at.0 * scale, at.1 * scale);
    let room = |length: f64, at: f64| at.clamp(RADIUS.min(length / 2.0), (length - RADIUS).max(length / 2.0));
    let cx = room(shown.0, x);
    let cy = if y > AWAY + RADIUS { y - AWAY } else { y + AWAY };
    let zoom = (scale * 3.0).clamp(2.0, 16.0);
    html! {
        <g class="glass">
            <clipPath id="glass"><circle cx={px(cx)} cy={px(cy)} r={px(RADIUS)} /></clipPath>
            <circle class="ground" cx={px(cx)} cy={px(cy)} r={px(RADIUS)} />
            <image
                href={url.to_owned()}
                clip-path="url(#glass)"
                x={px(cx - at.0 * zoom)}
                y={px(cy - at.1 * zoom)}
                width={px(size.w * zoom)}
                height={px(size.h * zoom)}
            />
            <path class="cross" d={format!("M{} {}h24M{} {}v24", px(cx - 12.0), px(cy), px(cx), px(cy - 12.0))} />
            <circle class="rim" cx={px(cx)} cy={px(cy)} r={px(RADIUS)} />
        </g>
    }
}
