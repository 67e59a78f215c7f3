//! Search by picture over the Atlas: the held-out flags, as a camera and a small model see them.

use loupe_shared::pixels::Rgb8;
use loupe_train::atlas::Split;
use loupe_train::atlas::asked::{Asker, Need};
use loupe_train::atlas::crop::{cut, loose_frame};
use loupe_train::atlas::pages::flag_title;
use loupe_train::atlas::rng::Rng;
use loupe_train::atlas::scene::close_up;
use loupe_train::eval::tally::Tally;

use super::{index, world};

/// Whether the picture finds that country's flag first.
fn finds(picture: &Rgb8, country: &str) -> bool {
    let index = index();
    let found = index.search_picture(picture, 1);
    let first = found.first().and_then(|found| index.pages_of(found.picture).next());
    first.is_some_and(|page| page.title == flag_title(country))
}

#[test]
fn held_out_flags_of_48_to_256_pixels_are_found_first() {
    let world = world();
    let mut tally = Tally::default();
    for country in world.asked(Split::Test) {
        for copy in 0..8 {
            let crop = close_up(world.texture(country), &mut Rng::of(country as u64, "search", copy));
            tally.add(finds(&crop, &world.entries()[country].country.name));
        }
    }
    println!("degraded crops of {} flags: {tally}", world.asked(Split::Test).len());
    assert!(tally.share() >= 0.95, "{tally}");
}

#[test]
fn loose_crops_out_of_scenes_are_found_first() {
    let world = world();
    let asker = Asker::new(&world, Split::Test).unwrap();
    let mut tally = Tally::default();
    for number in 0..200 {
        let mut rng = Rng::of(1, "loose", number);
        let asked = asker.search(&mut rng);
        let Need::Search { chain, flag, .. } = &asked.need else { panic!("{}", asked.question) };
        let frame = loose_frame(&asked.scene.flags[*flag].bounds, &mut rng);
        tally.add(finds(&cut(&asked.scene.picture, &frame).unwrap(), &chain.country));
    }
    println!("loose crops out of scenes: {tally}");
    assert!(tally.share() >= 0.9, "{tally}");
}
