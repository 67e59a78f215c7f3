//! Where in a crop a picture may lie.

/// An affine placement: a picture's (u, v) in -1..1 lies at `centre + u * right + v * down`, in pixels of the crop's
/// finest level with (0, 0) at the first pixel's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    pub(super) centre: [f32; 2],
    pub(super) right: [f32; 2],
    pub(super) down: [f32; 2],
}

/// Sides of a placement as fractions of the crop's: loose boxes leave a picture half of the crop, cut ones show most of it.
const SIDES: [f32; 5] = [0.42, 0.55, 0.7, 0.85, 1.0];
/// How far neighbouring placements lie apart, as a fraction of their side.
const STRIDE: f32 = 0.2;
/// Tilts in degrees.
const TILTS: [f32; 5] = [-18.0, -9.0, 0.0, 9.0, 18.0];

impl Pose {
    /// Where (u, v) lies.
    #[inline]
    pub(super) fn at(&self, u: f32, v: f32) -> (f32, f32) {
        (
            self.centre[0] + u * self.right[0] + v * self.down[0],
            self.centre[1] + u * self.right[1] + v * self.down[1],
        )
    }

    /// Width and height in pixels.
    pub(super) fn sides(&self) -> (f32, f32) {
        (2.0 * self.right[0].hypot(self.right[1]), 2.0 * self.down[0].hypot(self.down[1]))
    }

    /// Its area in pixels.
    pub(super) fn area(&self) -> f32 {
        4.0 * (self.right[0] * self.down[1] - self.right[1] * self.down[0]).abs()
    }

    /// Width by height, in a crop whose finest level is stretched by `stretch` horizontally.
    pub(super) fn aspect(&self, stretch: f32) -> f32 {
        let (width, height) = self.sides();
        width / height / stretch
    }

    /// The cosine of the angle between its sides: 0 for a rectangle.
    pub(super) fn shear(&self) -> f32 {
        let (width, height) = self.sides();
        4.0 * (self.right[0] * self.down[0] + self.right[1] * self.down[1]) / (width * height)
    }

    /// The placement under which the picture appears shifted back: `[a, b, c, d, e, f]` shifts (u, v) by
    /// `(a + b u + c v, d + e u + f v)`, and the placement is composed with the inverse of that.
    pub(super) fn shifted(&self, &[a, b, c, d, e, f]: &[f32; 6]) -> Self {
        let (b, f) = (1.0 + b, 1.0 + f);
        // At least 0.4 for shifts of at most 0.3.
        let determinant = b * f - c * e;
        let (ib, ic, ie, id) = (f / determinant, -c / determinant, -e / determinant, b / determinant);
        let (x, y) = self.at(-(ib * a + ic * d), -(ie * a + id * d));
        let mixed =
            |u: f32, v: f32| [self.right[0] * u + self.down[0] * v, self.right[1] * u + self.down[1] * v];
        Self { centre: [x, y], right: mixed(ib, ie), down: mixed(ic, id) }
    }
}

/// All placements that are tried first in a crop of `width` x `height`.
pub(super) fn grid(width: f32, height: f32) -> Vec<Pose> {
    let mut poses = Vec::new();
    for tilt in TILTS {
        let (sin, cos) = tilt.to_radians().sin_cos();
        for w in SIDES {
            for h in SIDES {
                let (w, h) = (w * width, h * height);
                for x in centres(width, w) {
                    for y in centres(height, h) {
                        poses.push(Pose {
                            centre: [x - 0.5, y - 0.5],
                            right: [w / 2.0 * cos, w / 2.0 * sin],
                            down: [-h / 2.0 * sin, h / 2.0 * cos],
                        });
                    }
                }
            }
        }
    }
    poses
}

/// Evenly spaced centres of windows of `side` within `whole`.
fn centres(whole: f32, side: f32) -> impl Iterator<Item = f32> {
    let room = (whole - side).max(0.0);
    let steps = (room / (side * STRIDE)).ceil() as usize;
    (0..=steps)
        .map(move |i| side / 2.0 + if steps == 0 { room / 2.0 } else { room * i as f32 / steps as f32 })
}
