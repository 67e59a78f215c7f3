//! The plain objects that lie among flags: five shapes in eight named colours.

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use super::canvas::{Canvas, Colour, lit};
use super::rng::Rng;

/// The shape of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A disc with a highlight.
    Ball,
    /// A square.
    Box,
    /// A triangle with equal sides.
    Triangle,
    /// A star of five points.
    Star,
    /// A ring.
    Ring,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ball, Self::Box, Self::Triangle, Self::Star, Self::Ring];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ball => "ball",
            Self::Box => "box",
            Self::Triangle => "triangle",
            Self::Star => "star",
            Self::Ring => "ring",
        }
    }
}

/// A colour that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Paint {
    /// Red.
    Red,
    /// Orange.
    Orange,
    /// Yellow.
    Yellow,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Purple.
    Purple,
    /// Black.
    Black,
    /// White.
    White,
}

impl Paint {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Black,
        Self::White,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Black => "black",
            Self::White => "white",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Self::Red => [206, 34, 40],
            Self::Orange => [240, 136, 24],
            Self::Yellow => [240, 218, 46],
            Self::Green => [36, 150, 62],
            Self::Blue => [40, 84, 208],
            Self::Purple => [134, 48, 168],
            Self::Black => [22, 22, 24],
            Self::White => [246, 246, 244],
        }
    }
}

/// A shape in a colour; in a scene each stands at most once, so that naming both names one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Look {
    /// The colour.
    pub paint: Paint,
    /// The shape.
    pub shape: Shape,
}

impl Look {
    /// How many there are.
    pub const COUNT: usize = Shape::ALL.len() * Paint::ALL.len();

    /// One of them.
    pub fn draw(rng: &mut Rng) -> Self {
        Self { paint: rng.one_of(Paint::ALL), shape: rng.one_of(Shape::ALL) }
    }

    /// A number below [`Look::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        self.paint as usize * Shape::ALL.len() + self.shape as usize
    }

    /// `red ball`
    #[must_use]
    pub fn name(self) -> String {
        format!("{} {}", self.paint.as_str(), self.shape.as_str())
    }
}

/// Paints an object that fills a circle of `radius` pixels around a point.
pub fn paint(canvas: &mut Canvas, look: Look, (cx, cy): (i32, i32), radius: i32, rng: &mut Rng) {
    let jitter: Colour = std::array::from_fn(|_| rng.between(-9, 9));
    let base = look.paint.colour();
    let colour: Colour = std::array::from_fn(|channel| base[channel] + jitter[channel]);
    let outline = outline(look.shape, radius, rng.uniform(0.0, 1.0));
    for y in -radius..=radius {
        for x in -radius..=radius {
            let cover = cover(look.shape, &outline, radius, x, y);
            if cover > 0 {
                // Light from the upper left.
                let light = 256 - (x + y) * 40 / radius.max(1);
                canvas.blend(cx + x, cy + y, lit(colour, light), cover);
            }
        }
    }
}

/// The square around an object.
#[must_use]
pub fn bounds((cx, cy): (i32, i32), radius: i32) -> Bounds {
    Bounds { left: cx - radius, top: cy - radius, right: cx + radius + 1, bottom: cy + radius + 1 }
}

/// How much of a pixel the object covers, of 256, from 4 points inside it.
fn cover(shape: Shape, outline: &[(i32, i32)], radius: i32, x: i32, y: i32) -> i32 {
    let quarters = [(-64, -64), (64, -64), (-64, 64), (64, 64)];
    let inside = quarters.iter().filter(|(dx, dy)| {
        let (px, py) = (x * 256 + dx, y * 256 + dy);
        match shape {
            Shape::Ball => within(px, py, radius * 256),
            Shape::Ring => within(px, py, radius * 256) && !within(px, py, radius * 148),
            Shape::Box | Shape::Triangle | Shape::Star => in_polygon(outline, px, py),
        }
    });
    inside.count() as i32 * 64
}

fn within(x: i32, y: i32, radius: i32) -> bool {
    let (x, y, radius) = (i64::from(x), i64::from(y), i64::from(radius));
    x * x + y * y <= radius * radius
}

/// Corners in 1/256 pixel around the origin; `turn` of 0..1 tilts the shape a little either way.
fn outline(shape: Shape, radius: i32, turn: f64) -> Vec<(i32, i32)> {
    let (corners, inner) = match shape {
        Shape::Ball | Shape::Ring => return Vec::new(),
        Shape::Box => (4, 1.0),
        Shape::Triangle => (3, 1.0),
        Shape::Star => (10, 0.42),
    };
    let tilt = (turn - 0.5) * 0.5;
    let start = if shape == Shape::Box { std::f64::consts::FRAC_PI_4 } else { -std::f64::consts::FRAC_PI_2 };
    let corner = |index: i32| {
        let angle = start + tilt + std::f64::consts::TAU * f64::from(index) / f64::from(corners);
        let reach = f64::from(radius) * 256.0 * if index % 2 == 1 { inner } else { 1.0 };
        (libm::round(libm::cos(angle) * reach) as i32, libm::round(libm::sin(angle) * reach) as i32)
    };
    (0..corners).map(corner).collect()
}

/// Even-odd rule.
fn in_polygon(corners: &[(i32, i32)], x: i32, y: i32) -> bool {
    let next = corners.iter().cycle().skip(1);
    let crossings = corners.iter().zip(next).filter(|((ax, ay), (bx, by))| {
        if (*ay > y) == (*by > y) {
            return false;
        }
        let cross = i64::from(bx - ax) * i64::from(y - ay) - i64::from(x - ax) * i64::from(by - ay);
        (cross > 0) == (by > ay)
    });
    crossings.count() % 2 == 1
}
