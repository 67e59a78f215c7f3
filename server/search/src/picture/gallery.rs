//! The search: all pictures at all placements coarsely, the best ones finely.

use loupe_shared::pixels::Rgb8;

use super::align::{Fit, align};
use super::coarse::{self, Layout};
use super::planes::Pyramid;
use super::pose::{self, Pose};
use super::score::distortion;
use super::thumbnail::Thumbnail;

/// How many pictures the fine stage looks at.
const FINALISTS: usize = 32;
/// Placements kept of each picture.
const PLACES: usize = 2;

/// Pictures to search among.
pub struct Gallery {
    thumbnails: Vec<Thumbnail>,
    layouts: Vec<Layout>,
}

/// A found picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Its number in the gallery.
    pub number: usize,
    /// How well it explains the crop, 0 to 1.
    pub score: f32,
    /// How far it is ahead of the next: 0 for a tie, 1 when nothing else comes near.
    pub confidence: f32,
}

struct Place {
    pose: Pose,
    score: f32,
}

impl Gallery {
    /// Prepares pictures for searching.
    #[must_use]
    pub fn new(thumbnails: Vec<Thumbnail>) -> Self {
        let layouts = thumbnails.iter().map(coarse::of_picture).collect();
        Self { thumbnails, layouts }
    }

    /// The pictures that explain most of `crop`, best first.
    #[must_use]
    pub fn search(&self, crop: &Rgb8, limit: usize) -> Vec<Match> {
        let crop = Pyramid::of(crop);
        let mut found: Vec<(usize, f32)> = self
            .finalists(&crop)
            .into_iter()
            .map(|(number, places)| (number, self.refine(&crop, number, &places)))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked(&found, limit)
    }

    /// The pictures worth a closer look, with their best placements.
    fn finalists(&self, crop: &Pyramid) -> Vec<(usize, Vec<Place>)> {
        let mut places: Vec<Vec<Place>> = self.thumbnails.iter().map(|_| Vec::new()).collect();
        let (width, height) = (crop.finest().width as f32, crop.finest().height as f32);
        let spread = crop.spread();
        for pose in pose::grid(width, height) {
            let window = coarse::of_window(crop, &pose);
            let area = pose.area() / (width * height);
            let (w, h) = pose.sides();
            let (w, h) = (w * crop.size.0 / width, h * crop.size.1 / height);
            coarse::compare(&window, &self.layouts, area, spread, |number, gain| {
                let score = gain - distortion(self.thumbnails[number].aspect(), w, h);
                keep(&mut places[number], pose, score);
            });
        }
        let mut finalists: Vec<(usize, Vec<Place>)> = places.into_iter().enumerate().collect();
        finalists.sort_by(|a, b| best(&b.1).total_cmp(&best(&a.1)).then(a.0.cmp(&b.0)));
        finalists.truncate(FINALISTS);
        finalists
    }

    fn refine(&self, crop: &Pyramid, number: usize, places: &[Place]) -> f32 {
        let thumbnail = &self.thumbnails[number];
        let fits = places.iter().map(|place| align(crop, thumbnail, place.pose));
        fits.map(|fit: Fit| fit.score).fold(f32::NEG_INFINITY, f32::max)
    }
}

/// Keeps the best placements, best first.
fn keep(places: &mut Vec<Place>, pose: Pose, score: f32) {
    if places.len() == PLACES && places.last().is_some_and(|worst| worst.score >= score) {
        return;
    }
    places.truncate(PLACES - 1);
    places.push(Place { pose, score });
    places.sort_by(|a, b| b.score.total_cmp(&a.score));
}

fn best(places: &[Place]) -> f32 {
    places.first().map_or(f32::NEG_INFINITY, |place| place.score)
}

/// Scores become 0 to 1 by 1 - e^-score: the part of the crop's variance that is explained.
fn ranked(found: &[(usize, f32)], limit: usize) -> Vec<Match> {
    let share = |score: f32| 1.0 - (-score.max(0.0)).exp();
    found
        .iter()
        .enumerate()
        .take(limit)
        .map(|(i, &(number, score))| {
            let next = found.get(i + 1).map_or(0.0, |next| next.1.max(0.0));
            Match { number, score: share(score), confidence: share(score - next) }
        })
        .collect()
}
