//! The search: all pictures at all placements coarsely, the best ones finely.

use loupe_shared::pixels::Rgb8;

use super::align::{self, Fit};
use super::coarse::{self, Layout};
use super::planes::Pyramid;
use super::pose::{self, Pose};
use super::score::{distortion, explained};
use super::thumbnail::Thumbnail;

/// How many pictures are fitted roughly.
const ROUGH: usize = 40;
/// How many of these are fitted finely.
const FINE: usize = 12;
/// Placements kept of each picture.
const PLACES: usize = 2;

/// Pictures to search among.
pub struct Gallery {
    entries: Vec<Entry>,
    layouts: Vec<Layout>,
}

struct Entry {
    thumbnail: Thumbnail,
    /// Logarithm of the proportions to base 2.
    octave: f32,
}

/// A found picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Its number in the gallery.
    pub number: usize,
    /// How well it explains the crop, 0 to 1: 0 is no better than a single colour.
    pub score: f32,
    /// How far it is ahead of the next match: 0 for a tie, towards 1 when nothing else comes near.
    pub confidence: f32,
}

#[derive(Clone, Copy)]
struct Place {
    pose: Pose,
    score: f32,
}

impl Gallery {
    /// Prepares pictures for searching.
    #[must_use]
    pub fn new(thumbnails: Vec<Thumbnail>) -> Self {
        let layouts = thumbnails.iter().map(coarse::of_picture).collect();
        let entry = |thumbnail: Thumbnail| Entry { octave: thumbnail.aspect().log2(), thumbnail };
        Self { entries: thumbnails.into_iter().map(entry).collect(), layouts }
    }

    /// The pictures that explain most of `crop`, best first; equal ones in the gallery's order.
    #[must_use]
    pub fn search(&self, crop: &Rgb8, limit: usize) -> Vec<Match> {
        let crop = Pyramid::of(crop);
        let mut rough: Vec<(usize, Fit)> = Vec::new();
        for (number, places) in self.candidates(&crop) {
            let poses: Vec<Pose> = places.iter().map(|place| place.pose).collect();
            let fit = align::rough(&crop, &self.entries[number].thumbnail, &poses);
            rough.extend(fit.map(|fit| (number, fit)));
        }
        sort(&mut rough);
        let rest = rough.split_off(FINE.min(rough.len()));
        let mut fine: Vec<(usize, Fit)> = Vec::new();
        for (number, fit) in &rough {
            let better = align::fine(&crop, &self.entries[*number].thumbnail, fit);
            fine.extend(better.map(|fit| (*number, fit)));
        }
        sort(&mut fine);
        fine.extend(rest);
        ranked(&fine, limit)
    }

    /// The pictures worth a closer look, with their best placements.
    fn candidates(&self, crop: &Pyramid) -> Vec<(usize, Vec<Place>)> {
        let mut places: Vec<Vec<Place>> = vec![Vec::with_capacity(PLACES + 1); self.entries.len()];
        let (width, height) = (crop.finest().width as f32, crop.finest().height as f32);
        for pose in pose::grid(width, height) {
            let (window, moments) = coarse::of_window(crop, &pose);
            let area = pose.area() / (width * height);
            let octave = pose.aspect(crop.stretch()).log2();
            coarse::compare(&window, &self.layouts, |number, residual| {
                let gained = explained(&crop.whole, &moments, area, residual);
                let score = gained - distortion(octave - self.entries[number].octave);
                keep(&mut places[number], Place { pose, score });
            });
        }
        let mut candidates: Vec<(usize, Vec<Place>)> = places.into_iter().enumerate().collect();
        candidates.sort_by(|a, b| best(&b.1).total_cmp(&best(&a.1)).then(a.0.cmp(&b.0)));
        candidates.truncate(ROUGH);
        candidates
    }
}

/// Keeps the best placements, best first.
fn keep(places: &mut Vec<Place>, place: Place) {
    let at = places.partition_point(|kept| kept.score >= place.score);
    if at < PLACES {
        places.insert(at, place);
        places.truncate(PLACES);
    }
}

fn best(places: &[Place]) -> f32 {
    places.first().map_or(f32::NEG_INFINITY, |place| place.score)
}

fn sort(fits: &mut [(usize, Fit)]) {
    fits.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then(a.0.cmp(&b.0)));
}

/// Log-likelihoods become 0 to 1 by 1 - e^-score.
fn ranked(found: &[(usize, Fit)], limit: usize) -> Vec<Match> {
    let share = |score: f32| 1.0 - (-score.max(0.0)).exp();
    let matched = |(i, (number, fit)): (usize, &(usize, Fit))| {
        let next = found.get(i + 1).map_or(0.0, |(_, next)| next.score.max(0.0));
        Match { number: *number, score: share(fit.score), confidence: share(fit.score - next) }
    };
    found.iter().enumerate().take(limit).map(matched).collect()
}
