//! The frame: the part of the picture that the question is about, in whole pixels of the original.

use loupe_shared::pixels::Region;

/// Shortest side of a frame in pixels of the original, or the picture's side where that is shorter.
pub const MIN_SIDE: f64 = 8.0;

/// Width and height of a picture in pixels, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// A rectangle inside a picture, in whole pixels of the original.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// One of the eight handles: which edges it drags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    /// -1 drags the left edge, 1 the right one, 0 neither.
    pub x: i8,
    /// -1 drags the top edge, 1 the bottom one, 0 neither.
    pub y: i8,
}

/// The eight handles, clockwise from the top left.
pub const HANDLES: [Handle; 8] = [
    Handle { x: -1, y: -1 },
    Handle { x: 0, y: -1 },
    Handle { x: 1, y: -1 },
    Handle { x: 1, y: 0 },
    Handle { x: 1, y: 1 },
    Handle { x: 0, y: 1 },
    Handle { x: -1, y: 1 },
    Handle { x: -1, y: 0 },
];

/// A number of the frame that can be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Left edge.
    Left,
    /// Top edge.
    Top,
    /// Width.
    Width,
    /// Height.
    Height,
}

/// A change of the frame. It is a change and not the frame it leads to, because two of them can come before the page
/// is drawn again: each holds for the frame that the one before it left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edit {
    /// Drawn anew, or taken away.
    To(Option<Frame>),
    /// A number was typed.
    Typed(Field, f64),
    /// Moved by so much to the right and down.
    Moved(f64, f64),
    /// A handle moved by so much to the right and down.
    Resized(Handle, f64, f64),
}

impl Edit {
    /// The frame after this change; without a frame there is nothing to move.
    #[must_use]
    pub fn apply(self, frame: Option<Frame>, picture: Size) -> Option<Frame> {
        match self {
            Self::To(frame) => frame,
            Self::Typed(field, value) => frame.map(|frame| frame.with(field, value, picture)),
            Self::Moved(dx, dy) => frame.map(|frame| frame.moved(dx, dy, picture)),
            Self::Resized(handle, dx, dy) => frame.map(|frame| frame.resized(handle, dx, dy, picture)),
        }
    }
}

impl Frame {
    /// The frame to begin with: the middle half of the picture.
    #[must_use]
    pub fn middle(picture: Size) -> Self {
        let (w, h) = ((picture.w / 2.0).max(1.0), (picture.h / 2.0).max(1.0));
        Self { x: (picture.w - w) / 2.0, y: (picture.h - h) / 2.0, w, h }.whole_pixels(picture)
    }

    /// The frame between two points of the picture, as a drag draws it.
    #[must_use]
    pub fn between(from: (f64, f64), to: (f64, f64), picture: Size) -> Self {
        let (left, right) = span(from.0, to.0, picture.w);
        let (top, bottom) = span(from.1, to.1, picture.h);
        Self { x: left, y: top, w: right - left, h: bottom - top }.whole_pixels(picture)
    }

    /// The frame of a region.
    #[must_use]
    pub fn of_region(region: &Region, picture: Size) -> Self {
        Self {
            x: region.x() * picture.w,
            y: region.y() * picture.h,
            w: region.w() * picture.w,
            h: region.h() * picture.h,
        }
        .whole_pixels(picture)
    }

    /// The frame as fractions of the picture; `None` where it is the whole picture, which needs no frame.
    #[must_use]
    pub fn region(&self, picture: Size) -> Option<Region> {
        let region =
            Region::new(self.x / picture.w, self.y / picture.h, self.w / picture.w, self.h / picture.h)
                .ok()?;
        (!region.is_whole()).then_some(region)
    }

    /// The frame moved, as far as the picture allows.
    #[must_use]
    pub fn moved(&self, dx: f64, dy: f64, picture: Size) -> Self {
        Self {
            x: (self.x + dx).round().clamp(0.0, picture.w - self.w),
            y: (self.y + dy).round().clamp(0.0, picture.h - self.h),
            ..*self
        }
    }

    /// The frame with a handle dragged; the opposite edges stay where they are.
    #[must_use]
    pub fn resized(&self, handle: Handle, dx: f64, dy: f64, picture: Size) -> Self {
        let (x, w) = drag_edge(self.x, self.w, handle.x, dx, picture.w);
        let (y, h) = drag_edge(self.y, self.h, handle.y, dy, picture.h);
        Self { x, y, w, h }
    }

    /// The frame with one number typed, the others following as far as they must.
    #[must_use]
    pub fn with(&self, field: Field, value: f64, picture: Size) -> Self {
        let value = if value.is_finite() { value.round() } else { 0.0 };
        match field {
            Field::Left => {
                let (x, w) = begin_at(value, self.w, picture.w);
                Self { x, w, ..*self }
            }
            Field::Top => {
                let (y, h) = begin_at(value, self.h, picture.h);
                Self { y, h, ..*self }
            }
            Field::Width => Self { w: value.clamp(least(picture.w), picture.w - self.x), ..*self },
            Field::Height => Self { h: value.clamp(least(picture.h), picture.h - self.y), ..*self },
        }
    }

    /// A number of the frame.
    #[must_use]
    pub fn field(&self, field: Field) -> f64 {
        match field {
            Field::Left => self.x,
            Field::Top => self.y,
            Field::Width => self.w,
            Field::Height => self.h,
        }
    }

    /// Where a handle sits.
    #[must_use]
    pub fn handle_at(&self, handle: Handle) -> (f64, f64) {
        (
            self.x + self.w * (f64::from(handle.x) + 1.0) / 2.0,
            self.y + self.h * (f64::from(handle.y) + 1.0) / 2.0,
        )
    }

    fn whole_pixels(self, picture: Size) -> Self {
        let (x, w) = snap(self.x, self.w, picture.w);
        let (y, h) = snap(self.y, self.h, picture.h);
        Self { x, y, w, h }
    }
}

fn least(side: f64) -> f64 {
    MIN_SIDE.min(side)
}

/// Start and end of a span between two points, both brought into the picture.
fn span(a: f64, b: f64, side: f64) -> (f64, f64) {
    let (a, b) = (a.clamp(0.0, side), b.clamp(0.0, side));
    (a.min(b), a.max(b))
}

/// Start and length in whole pixels, long enough and inside the picture.
fn snap(start: f64, length: f64, side: f64) -> (f64, f64) {
    let end = (start + length).round().clamp(0.0, side);
    let start = start.round().clamp(0.0, side - least(side));
    let length = (end - start).clamp(least(side), side - start);
    (start, length)
}

/// Start and length of a span that begins at `start`, as far as that can be; it ends with the picture.
fn begin_at(start: f64, length: f64, side: f64) -> (f64, f64) {
    let start = start.clamp(0.0, side - least(side));
    (start, length.min(side - start))
}

/// Start and length after one of two edges was dragged by `by`.
fn drag_edge(start: f64, length: f64, edge: i8, by: f64, side: f64) -> (f64, f64) {
    let end = start + length;
    let least = least(side).min(length);
    match edge {
        -1 => {
            let start = (start + by).round().clamp(0.0, end - least);
            (start, end - start)
        }
        1 => (start, (end + by).round().clamp(start + least, side) - start),
        _ => (start, length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PICTURE: Size = Size { w: 448.0, h: 300.0 };

    fn frame(x: f64, y: f64, w: f64, h: f64) -> Frame {
        Frame { x, y, w, h }
    }

    #[test]
    fn a_drag_in_any_direction_draws_the_same_frame() {
        let expected = frame(10.0, 20.0, 90.0, 60.0);
        assert_eq!(Frame::between((10.0, 20.0), (100.0, 80.0), PICTURE), expected);
        assert_eq!(Frame::between((100.0, 80.0), (10.0, 20.0), PICTURE), expected);
    }

    #[test]
    fn the_picture_stops_a_move() {
        let moved = frame(400.0, 10.0, 40.0, 40.0).moved(100.0, -100.0, PICTURE);
        assert_eq!(moved, frame(408.0, 0.0, 40.0, 40.0));
    }

    #[test]
    fn a_handle_cannot_pass_the_opposite_edge() {
        let start = frame(100.0, 100.0, 50.0, 50.0);
        let left = Handle { x: -1, y: 0 };
        assert_eq!(start.resized(left, 500.0, 9.0, PICTURE), frame(142.0, 100.0, 8.0, 50.0));
        assert_eq!(start.resized(left, -500.0, 9.0, PICTURE), frame(0.0, 100.0, 150.0, 50.0));
    }

    #[test]
    fn typed_numbers_stay_in_the_picture() {
        let start = frame(400.0, 10.0, 40.0, 40.0);
        assert_eq!(start.with(Field::Width, 900.0, PICTURE).w, 48.0);
        assert_eq!(start.with(Field::Left, f64::NAN, PICTURE).x, 0.0);
        // What is typed counts: a frame that would reach over the border becomes smaller.
        assert_eq!(start.with(Field::Left, 430.0, PICTURE), frame(430.0, 10.0, 18.0, 40.0));
        assert_eq!(start.with(Field::Top, 900.0, PICTURE), frame(400.0, 292.0, 40.0, 8.0));
    }

    #[test]
    fn a_second_number_holds_for_the_frame_that_the_first_one_left() {
        let typed = [(Field::Left, 10.0), (Field::Top, 20.0), (Field::Width, 200.0), (Field::Height, 100.0)];
        let edit = |frame, (field, value)| Edit::Typed(field, value).apply(frame, PICTURE);
        let last = typed.into_iter().fold(Some(Frame::middle(PICTURE)), edit);
        assert_eq!(last, Some(frame(10.0, 20.0, 200.0, 100.0)));
    }

    #[test]
    fn the_whole_picture_is_no_region() {
        assert_eq!(frame(0.0, 0.0, 448.0, 300.0).region(PICTURE), None);
        assert!(frame(0.0, 0.0, 447.0, 300.0).region(PICTURE).is_some());
    }

    fn is_inside(frame: Frame, picture: Size) -> bool {
        let whole = [frame.x, frame.y, frame.w, frame.h].iter().all(|n| n.fract() == 0.0);
        whole
            && frame.x >= 0.0
            && frame.y >= 0.0
            && frame.w >= least(picture.w)
            && frame.h >= least(picture.h)
            && frame.x + frame.w <= picture.w
            && frame.y + frame.h <= picture.h
    }

    proptest! {
        #[test]
        fn no_act_leaves_the_picture(
            w in 1_u32..5000, h in 1_u32..5000, a in (-9e3..9e3, -9e3..9e3), b in (-9e3..9e3, -9e3..9e3),
            handle in 0_usize..8, field in 0_usize..4,
        ) {
            let picture = Size { w: w.into(), h: h.into() };
            let fields = [Field::Left, Field::Top, Field::Width, Field::Height];
            let drawn = Frame::between(a, b, picture);
            prop_assert!(is_inside(drawn, picture), "drawn {:?}", drawn);
            prop_assert!(is_inside(Frame::middle(picture), picture));
            prop_assert!(is_inside(drawn.moved(a.0, a.1, picture), picture));
            prop_assert!(is_inside(drawn.resized(HANDLES[handle], b.0, b.1, picture), picture));
            prop_assert!(is_inside(drawn.with(fields[field], a.0, picture), picture));
        }

        #[test]
        fn a_frame_survives_as_a_region(a in (0_f64..448.0, 0_f64..300.0), b in (0_f64..448.0, 0_f64..300.0)) {
            let drawn = Frame::between(a, b, PICTURE);
            if let Some(region) = drawn.region(PICTURE) {
                prop_assert_eq!(Frame::of_region(&region, PICTURE), drawn);
            }
        }
    }
}
