//! What scenes lie on: muted, so that every named colour stands out, and varied, so that nothing can be learned from it.

use super::canvas::{Canvas, Colour, between, lit};
use super::rng::{Rng, mix};

/// Paints one of five kinds of background over the whole canvas.
pub fn paint(canvas: &mut Canvas, rng: &mut Rng) {
    let kind = rng.below(5);
    match kind {
        0 => gradient(canvas, rng),
        1 => clouds(canvas, rng),
        2 => stripes(canvas, rng),
        3 => desk(canvas, rng),
        _ => wall(canvas, rng),
    }
}

/// Not too dark, not too light, not too colourful.
fn muted(rng: &mut Rng) -> Colour {
    let grey = rng.between(95, 185);
    std::array::from_fn(|_| grey + rng.between(-22, 22))
}

fn gradient(canvas: &mut Canvas, rng: &mut Rng) {
    let (from, to) = (muted(rng), muted(rng));
    let (across, down) = (rng.between(-256, 256), rng.between(-256, 256));
    let span = (across.abs() * canvas.width() + down.abs() * canvas.height()).max(1);
    let start = across.min(0) * canvas.width() + down.min(0) * canvas.height();
    canvas.fill(|x, y| between(from, to, (across * x + down * y - start) / (span / 256 + 1)));
}

fn clouds(canvas: &mut Canvas, rng: &mut Rng) {
    let (from, to, seed) = (muted(rng), muted(rng), rng.bits());
    let cell = rng.between(16, 80);
    canvas.fill(|x, y| between(from, to, value_noise(x, y, cell, cell, seed)));
}

fn stripes(canvas: &mut Canvas, rng: &mut Rng) {
    let base = muted(rng);
    let other = lit(base, rng.one_of([200, 224, 288, 304]));
    let (across, down) = (rng.between(-4, 4), rng.between(1, 4));
    let period = rng.between(24, 90) * (across.abs() + down);
    canvas.fill(|x, y| {
        let place = (across * x + down * y).rem_euclid(period);
        if place * 2 < period { base } else { other }
    });
}

/// Wood: noise stretched along the grain, and the gaps between boards.
fn desk(canvas: &mut Canvas, rng: &mut Rng) {
    let light = rng.between(200, 300);
    let (dark, pale) = (lit([122, 86, 56], light), lit([168, 126, 86], light));
    let (seed, board) = (rng.bits(), rng.between(60, 150));
    canvas.fill(|x, y| {
        let grain = value_noise(x, y, 160, 6, seed ^ (y / board) as u64);
        let colour = between(dark, pale, grain);
        if y % board < 2 { lit(colour, 180) } else { colour }
    });
}

/// Bricks in rows that are shifted by half a brick, each a little lighter or darker.
fn wall(canvas: &mut Canvas, rng: &mut Rng) {
    let (brick, mortar, seed) = (muted(rng), muted(rng), rng.bits());
    let (width, height) = (rng.between(40, 100), rng.between(18, 44));
    canvas.fill(|x, y| {
        let row = y / height;
        let shifted = x + (row & 1) * (width / 2);
        if shifted % width < 3 || y % height < 3 {
            return mortar;
        }
        let tone = mix(seed ^ ((row as u64) << 32) ^ (shifted / width) as u64);
        lit(brick, 232 + (tone & 47) as i32)
    });
}

/// Smooth noise from 0 to 255: random values on a grid, blended between its points.
fn value_noise(x: i32, y: i32, cell_x: i32, cell_y: i32, seed: u64) -> i32 {
    let (column, row) = (x / cell_x, y / cell_y);
    let (fx, fy) = (x % cell_x * 256 / cell_x, y % cell_y * 256 / cell_y);
    let at = |dx: i32, dy: i32| {
        let place = (((row + dy) as u64) << 32) | (column + dx) as u64;
        (mix(seed ^ place) & 255) as i32
    };
    let top = at(0, 0) * (256 - fx) + at(1, 0) * fx;
    let bottom = at(0, 1) * (256 - fx) + at(1, 1) * fx;
    (top * (256 - fy) + bottom * fy) >> 16
}
