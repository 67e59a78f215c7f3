//! What the pointer and the arrow keys do to the frame.

use web_sys::{Element, KeyboardEvent, PointerEvent};

use crate::model::frame::{Edit, Frame, HANDLES, Handle, Size};

/// Movement in CSS pixels below which a press is a tap.
const TAP: f64 = 4.0;
/// Share of the picture's shorter side that a tapped frame gets.
const TAPPED_SHARE: f64 = 0.3;
/// Share of a side by which an arrow key moves an edge.
const KEY_SHARE: f64 = 0.01;

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Grip {
    /// The bare picture: a frame is drawn.
    Picture,
    /// The frame.
    Frame,
    /// One of its handles.
    Handle(Handle),
}

impl Grip {
    /// Reads it from the element under the pointer.
    pub(super) fn of(element: &Element) -> Self {
        let name = element.get_attribute("data-grip").unwrap_or_default();
        match name.as_str() {
            "frame" => Self::Frame,
            number => {
                let handle = number.parse::<usize>().ok().and_then(|i| HANDLES.get(i));
                handle.map_or(Self::Picture, |handle| Self::Handle(*handle))
            }
        }
    }
}

/// A drag under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drag {
    /// What is held.
    pub(super) grip: Grip,
    /// Whether it moved further than a tap does.
    pub(super) moved: bool,
    from: (f64, f64),
    start: Option<Frame>,
    draws: bool,
}

impl Drag {
    /// A press at `at`, in pixels of the picture.
    pub(super) fn begin(event: &PointerEvent, grip: Grip, at: (f64, f64), frame: Option<Frame>) -> Self {
        // A finger on the bare picture scrolls the page; it frames by tapping.
        let draws = event.pointer_type() != "touch";
        Self { grip, moved: false, from: at, start: frame, draws }
    }

    /// The drag and the frame once the pointer is at `to`; `scale` is CSS pixels per pixel of the picture.
    pub(super) fn moved_to(self, to: (f64, f64), scale: f64, picture: Size) -> (Self, Option<Frame>) {
        let (dx, dy) = (to.0 - self.from.0, to.1 - self.from.1);
        let moved = self.moved || dx.hypot(dy) * scale > TAP;
        let drag = Self { moved, ..self };
        let frame = match (self.grip, self.start) {
            (Grip::Frame, Some(start)) => Some(start.moved(dx, dy, picture)),
            (Grip::Handle(handle), Some(start)) => Some(start.resized(handle, dx, dy, picture)),
            _ if moved && self.draws => Some(Frame::between(self.from, to, picture)),
            _ => self.start,
        };
        (drag, frame)
    }

    /// The frame after a tap; `None` if this was no tap on the bare picture.
    pub(super) fn tapped(self, picture: Size) -> Option<Frame> {
        if self.moved || self.grip != Grip::Picture {
            return None;
        }
        let side = picture.w.min(picture.h) * TAPPED_SHARE / 2.0;
        let (x, y) = self.from;
        let placed = match self.start {
            Some(start) => start.moved(x - start.x - start.w / 2.0, y - start.y - start.h / 2.0, picture),
            None => Frame::between((x - side, y - side), (x + side, y + side), picture),
        };
        Some(placed)
    }
}

/// What a key does to the frame; `None` where the key is not ours.
///
/// Arrows move by a hundredth of the side, with Alt by one pixel; with Shift they move the right and bottom edges.
pub(super) fn on_key(event: &KeyboardEvent, picture: Size) -> Option<Edit> {
    let step = |side: f64| if event.alt_key() { 1.0 } else { (side * KEY_SHARE).max(1.0) };
    let (dx, dy) = match event.key().as_str() {
        "ArrowLeft" => (-step(picture.w), 0.0),
        "ArrowRight" => (step(picture.w), 0.0),
        "ArrowUp" => (0.0, -step(picture.h)),
        "ArrowDown" => (0.0, step(picture.h)),
        "Escape" | "Delete" | "Backspace" => return Some(Edit::To(None)),
        _ => return None,
    };
    if event.shift_key() {
        return Some(Edit::Resized(Handle { x: 1, y: 1 }, dx, dy));
    }
    Some(Edit::Moved(dx, dy))
}
