//! A flag in a scene: scaled, tilted, waving, lit from one side.

use std::f64::consts::TAU;

use super::bounds::Bounds;
use super::canvas::{Canvas, Colour, lit};
use super::flags::{FLAG_HEIGHT, FLAG_WIDTH, Texture};
use super::rng::Rng;

/// How a flag hangs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Width along the flag's own axis in pixels.
    pub width: f64,
    /// Clockwise, in radians.
    pub tilt: f64,
    /// Height of its waves as a part of the flag's height.
    pub wave: f64,
    /// Waves along the flag.
    pub waves: f64,
    /// Where the first wave begins, in radians.
    pub phase: f64,
    /// How much lighter one end is than the other, -0.3 to 0.3.
    pub light: f64,
}

/// Steps of a tabulated wave.
const STEPS: usize = 256;

impl Pose {
    /// A flag of a given width, hanging somehow: tilted by up to 20 degrees, waving or not.
    pub fn draw(width: f64, rng: &mut Rng) -> Self {
        let tilt = if rng.chance(0.25) { 0.0 } else { rng.uniform(-20.0, 20.0).to_radians() };
        Self {
            width,
            tilt,
            wave: if rng.chance(0.4) { 0.0 } else { rng.uniform(0.01, 0.06) },
            waves: rng.uniform(0.7, 2.0),
            phase: rng.uniform(0.0, TAU),
            light: rng.uniform(-0.25, 0.25),
        }
    }

    /// Height along the flag's own axis.
    #[must_use]
    pub fn height(&self) -> f64 {
        self.width * f64::from(FLAG_HEIGHT) / f64::from(FLAG_WIDTH)
    }

    /// Half the width and height of the upright rectangle around the flag, waves included.
    #[must_use]
    pub fn reach(&self) -> (i32, i32) {
        let (sin, cos) = (libm::fabs(libm::sin(self.tilt)), libm::cos(self.tilt));
        let height = self.height() * (1.0 + 2.0 * self.wave);
        let across = (self.width * cos + height * sin) / 2.0;
        let down = (self.width * sin + height * cos) / 2.0;
        (libm::ceil(across) as i32 + 1, libm::ceil(down) as i32 + 1)
    }
}

/// Paints a flag around a point and returns the rectangle around its pixels.
pub fn paint(canvas: &mut Canvas, texture: &Texture, pose: &Pose, (cx, cy): (i32, i32)) -> Bounds {
    let (sin, cos) = (libm::sin(pose.tilt), libm::cos(pose.tilt));
    let (width, height) = (pose.width, pose.height());
    let level = texture.level(width);
    let table: [(f64, i32); STEPS] = std::array::from_fn(|step| column(pose, step));
    let (across, down) = pose.reach();
    let mut drawn = Bounds { left: i32::MAX, top: i32::MAX, right: i32::MIN, bottom: i32::MIN };
    for y in -down..=down {
        for x in -across..=across {
            let (fx, fy) = (f64::from(x), f64::from(y));
            let along = fx * cos + fy * sin;
            let u = along / width + 0.5;
            let (shift, light) = table[((u * STEPS as f64) as i32).clamp(0, STEPS as i32 - 1) as usize];
            let up = fy * cos - fx * sin - shift;
            let cover = cover(width / 2.0 - libm::fabs(along)) * cover(height / 2.0 - libm::fabs(up)) / 256;
            if cover <= 0 {
                continue;
            }
            let colour: Colour = level.sample(u, up / height + 0.5);
            canvas.blend(cx + x, cy + y, lit(colour, light), cover);
            if cover >= 128 {
                drawn = include(drawn, cx + x, cy + y);
            }
        }
    }
    drawn
}

/// How far a column of the flag is shifted down, in pixels, and how light it is, of 256.
fn column(pose: &Pose, step: usize) -> (f64, i32) {
    let u = step as f64 / STEPS as f64;
    let angle = TAU * pose.waves * u + pose.phase;
    let shift = pose.wave * pose.height() * libm::sin(angle);
    let folds = 2.5 * pose.wave * libm::cos(angle);
    let light = 1.0 + pose.light * (2.0 * u - 1.0) + folds;
    (shift, libm::round(light * 256.0) as i32)
}

/// Coverage of a pixel whose centre lies `inside` pixels within an edge, of 256.
fn cover(inside: f64) -> i32 {
    ((inside + 0.5).clamp(0.0, 1.0) * 256.0) as i32
}

fn include(bounds: Bounds, x: i32, y: i32) -> Bounds {
    Bounds {
        left: bounds.left.min(x),
        top: bounds.top.min(y),
        right: bounds.right.max(x + 1),
        bottom: bounds.bottom.max(y + 1),
    }
}
