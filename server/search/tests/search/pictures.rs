//! Picture search on made-up pictures of several proportions, so that nothing rests on what one kind of picture is like.

use loupe_search::picture::{Gallery, Thumbnail, decode};
use loupe_shared::pixels::Rgb8;

use super::crops::{Damage, Random, crop};
use super::mosaic::{mosaic, png};

/// Pictures in the gallery.
const PICTURES: u64 = 60;
/// Crops of each kind.
const CROPS: u64 = 120;

fn gallery() -> (Vec<Rgb8>, Gallery) {
    let sides = [(160, 120), (120, 160), (200, 100), (128, 128)];
    let pictures: Vec<Rgb8> = (0..PICTURES)
        .map(|seed| {
            let (width, height) = sides[seed as usize % sides.len()];
            mosaic(seed, width, height)
        })
        .collect();
    let gallery = Gallery::new(pictures.iter().map(Thumbnail::of).collect());
    (pictures, gallery)
}

/// How many of the crops find their picture first.
fn first(make: fn(&mut Random) -> Damage) -> u64 {
    let (pictures, gallery) = gallery();
    let right = |seed: &u64| {
        let mut random = Random::new(1_000 + seed);
        let truth = (random.next() % PICTURES) as usize;
        let damage = make(&mut random);
        let query = crop(&pictures[truth], &damage, &mut random);
        gallery.search(&query, 1).first().is_some_and(|found| found.number == truth)
    };
    (0..CROPS).filter(right).count() as u64
}

#[test]
fn tight_crops_find_their_picture() {
    let found = first(Damage::tight);
    assert!(found * 100 >= CROPS * 95, "{found} of {CROPS}");
}

#[test]
fn loose_crops_find_their_picture() {
    let found = first(Damage::loose);
    assert!(found * 100 >= CROPS * 88, "{found} of {CROPS}");
}

#[test]
fn identical_pictures_tie_without_confidence() {
    let twins = [mosaic(1, 160, 120), mosaic(2, 160, 120), mosaic(1, 160, 120)];
    let gallery = Gallery::new(twins.iter().map(Thumbnail::of).collect());
    let found = gallery.search(&twins[2], 3);
    assert_eq!([found[0].number, found[1].number], [0, 2], "equal ones keep their order");
    assert!(found[0].confidence < 0.01 && found[1].confidence > 0.3, "{found:?}");
}

#[test]
fn any_size_of_crop_is_searched() {
    let (_, gallery) = gallery();
    for (width, height) in [(1, 1), (1, 500), (500, 1), (2, 3), (700, 30)] {
        let found = gallery.search(&mosaic(7, width, height), 4);
        assert!(
            found.len() <= 4 && found.iter().all(|m| m.score.is_finite()),
            "{width} x {height}: {found:?}"
        );
    }
    let flat = Rgb8::new(64, 64, vec![128; 64 * 64 * 3]).unwrap();
    assert!(
        gallery.search(&flat, 4).iter().all(|found| found.score < 0.5),
        "one colour looks like no picture"
    );
}

#[test]
fn thumbnails_are_kept_as_bytes() {
    let thumbnail = Thumbnail::of(&decode(&png(&mosaic(3, 90, 60))).unwrap());
    assert_eq!(Thumbnail::from_bytes(thumbnail.as_bytes()), Some(thumbnail.clone()));
    assert_eq!(thumbnail.aspect(), 1.5);
    let mut wrong = thumbnail.as_bytes().to_vec();
    wrong.truncate(wrong.len() - 1);
    assert_eq!(Thumbnail::from_bytes(&wrong), None);
    let mut wrong = thumbnail.as_bytes().to_vec();
    let tail = wrong.len() - 4;
    wrong[tail..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(Thumbnail::from_bytes(&wrong), None);
}
