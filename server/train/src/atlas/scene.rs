//! Scenes: one to four flags among plain objects, by seed. The layout comes first, so that questions can be asked of
//! it, then the pixels.

use loupe_shared::pixels::Rgb8;
use serde::{Deserialize, Serialize};

use super::background;
use super::banner::{self, Pose};
use super::bounds::Bounds;
use super::canvas::Canvas;
use super::flags::Texture;
use super::objects::{self, Look};
use super::rng::Rng;

/// Sides of a scene in pixels.
pub const SCENE_SIDE: u32 = 448;
const SIDE: i32 = SCENE_SIDE as i32;

/// Width of the smallest and of the largest flag in pixels.
pub const FLAG_WIDTHS: (f64, f64) = (48.0, 256.0);

/// A flag in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagInScene {
    /// Index of the country.
    pub country: usize,
    /// The rectangle around it.
    pub bounds: Bounds,
    /// Width along the flag's own axis in pixels.
    pub width: u32,
}

/// An object in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInScene {
    /// Colour and shape, at most once in a scene.
    pub look: Look,
    /// The rectangle around it.
    pub bounds: Bounds,
}

/// What is in a scene, and its pixels.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Flags, in no order.
    pub flags: Vec<FlagInScene>,
    /// Objects, in no order.
    pub objects: Vec<ObjectInScene>,
    /// [`SCENE_SIDE`] x [`SCENE_SIDE`].
    pub picture: Rgb8,
}

/// A flag's country and what it looks like.
pub type FlagChoice<'a> = (usize, &'a Texture);

/// Most objects of a scene that is asked about.
const OBJECTS: usize = 4;

/// Paints a scene with these flags (all of them different) and up to four objects. Flags neither overlap each other
/// nor anything else; a flag for which no room is left is left out.
#[must_use]
pub fn compose(choices: &[FlagChoice<'_>], rng: &mut Rng) -> Scene {
    compose_among(choices, OBJECTS, rng)
}

/// The same among up to `objects` objects.
pub(super) fn compose_among(choices: &[FlagChoice<'_>], objects: usize, rng: &mut Rng) -> Scene {
    let mut canvas = Canvas::new(SCENE_SIDE, SCENE_SIDE);
    background::paint(&mut canvas, rng);
    let mut taken: Vec<Bounds> = Vec::new();
    let mut flags = Vec::new();
    for &(country, texture) in choices {
        let Some((pose, centre, room)) = place_flag(choices.len(), &taken, rng) else { continue };
        taken.push(room);
        let bounds = banner::paint(&mut canvas, texture, &pose, centre);
        flags.push(FlagInScene { country, bounds, width: libm::round(pose.width) as u32 });
    }
    let objects = place_objects(&mut canvas, &flags, &mut taken, objects, rng);
    finish(&mut canvas, rng);
    Scene { flags, objects, picture: canvas.finish() }
}

/// One flag alone on a background, as somebody photographs it: 48 to 256 pixels wide, with a margin of up to 15 %
/// of its size on each side. Also the degraded crop that image search is tested with.
#[must_use]
pub fn close_up(texture: &Texture, rng: &mut Rng) -> Rgb8 {
    let pose = Pose::draw(log_uniform(FLAG_WIDTHS, rng), rng);
    let (across, down) = pose.reach();
    let margin = rng.uniform(1.0, 1.15);
    let (half_width, half_height) = (f64::from(across) * margin, f64::from(down) * margin);
    let mut canvas = Canvas::new((half_width * 2.0) as u32, (half_height * 2.0) as u32);
    background::paint(&mut canvas, rng);
    banner::paint(&mut canvas, texture, &pose, (half_width as i32, half_height as i32));
    finish(&mut canvas, rng);
    canvas.finish()
}

/// Small sizes as often as large ones, in ratio.
fn log_uniform((low, high): (f64, f64), rng: &mut Rng) -> f64 {
    low * libm::pow(high / low, rng.unit())
}

/// Tries ever smaller flags until one fits.
fn place_flag(count: usize, taken: &[Bounds], rng: &mut Rng) -> Option<(Pose, (i32, i32), Bounds)> {
    let largest = match count {
        0 | 1 => FLAG_WIDTHS.1,
        2 => 200.0,
        3 => 160.0,
        _ => 132.0,
    };
    let mut width = log_uniform((FLAG_WIDTHS.0, largest), rng);
    for _ in 0..80 {
        let pose = Pose::draw(width, rng);
        let (across, down) = pose.reach();
        let centre = (rng.between(across, SIDE - 1 - across), rng.between(down, SIDE - 1 - down));
        let room = Bounds {
            left: centre.0 - across,
            top: centre.1 - down,
            right: centre.0 + across + 1,
            bottom: centre.1 + down + 1,
        };
        if taken.iter().all(|other| other.gap(&room) >= 4) {
            return Some((pose, centre, room));
        }
        width = (width * 0.96).max(FLAG_WIDTHS.0);
    }
    None
}

/// Up to four objects, sometimes one right beside a flag, so that it can be pointed at by it.
fn place_objects(
    canvas: &mut Canvas,
    flags: &[FlagInScene],
    taken: &mut Vec<Bounds>,
    most: usize,
    rng: &mut Rng,
) -> Vec<ObjectInScene> {
    let wanted = rng.below(most + 1);
    let mut placed: Vec<ObjectInScene> = Vec::new();
    for number in 0..wanted {
        let look = Look::draw(rng);
        if placed.iter().any(|other| other.look == look) {
            continue;
        }
        let beside =
            if number == 0 && rng.chance(0.5) { rng.pick(flags).map(|flag| flag.bounds) } else { None };
        let Some((centre, radius)) = place_object(beside, taken, rng) else { continue };
        let bounds = objects::bounds(centre, radius);
        taken.push(bounds);
        objects::paint(canvas, look, centre, radius, rng);
        placed.push(ObjectInScene { look, bounds });
    }
    placed
}

fn place_object(beside: Option<Bounds>, taken: &[Bounds], rng: &mut Rng) -> Option<((i32, i32), i32)> {
    for _ in 0..30 {
        let radius = rng.between(17, 36);
        let centre = match beside {
            Some(flag) => centre_beside(&flag, radius, rng),
            None => (rng.between(radius, SIDE - 1 - radius), rng.between(radius, SIDE - 1 - radius)),
        };
        let bounds = objects::bounds(centre, radius);
        if bounds.inside(SIDE, SIDE) && taken.iter().all(|other| other.gap(&bounds) >= 4) {
            return Some((centre, radius));
        }
    }
    None
}

fn centre_beside(flag: &Bounds, radius: i32, rng: &mut Rng) -> (i32, i32) {
    let away = radius + rng.between(6, 14);
    let (x, y) = (rng.between(flag.left, flag.right), rng.between(flag.top, flag.bottom));
    rng.one_of([(flag.left - away, y), (flag.right + away, y), (x, flag.top - away), (x, flag.bottom + away)])
}

/// What the camera does: exposure, blur, noise.
fn finish(canvas: &mut Canvas, rng: &mut Rng) {
    let (gamma, gain) = (rng.uniform(0.75, 1.3), rng.uniform(0.85, 1.1));
    let table: [u8; 256] = std::array::from_fn(|value| {
        let light = libm::pow(value as f64 / 255.0, gamma) * gain;
        libm::round(light.min(1.0) * 255.0) as u8
    });
    canvas.map(&table);
    for _ in 0..rng.weighted(&[0.55, 0.3, 0.15]) {
        canvas.blur();
    }
    let noise = rng.between(0, 14);
    if noise > 2 {
        canvas.noise(noise, rng);
    }
}
