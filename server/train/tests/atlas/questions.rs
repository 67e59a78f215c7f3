//! Questions: one flag is meant, one answer is right, and the pages say it.

use std::collections::BTreeMap;

use loupe_train::atlas::asked::{Asked, Asker, Need};
use loupe_train::atlas::facts::Fact;
use loupe_train::atlas::pages::fact_page;
use loupe_train::atlas::questions::{Category, OtherCategory};
use loupe_train::atlas::refer::{Pointer, pointers};
use loupe_train::atlas::rng::Rng;
use loupe_train::atlas::{Split, visual};

use super::world;

const SPLITS: [Split; 3] = [Split::Train, Split::Dev, Split::Test];

fn search_free(split: Split, count: u64) -> Vec<Asked> {
    let world = world();
    let asker = Asker::new(&world, split).unwrap();
    (0..count).map(|index| asker.visual(&mut Rng::of(5, split.as_str(), index))).collect()
}

fn searched(split: Split, count: u64) -> Vec<Asked> {
    let world = world();
    let asker = Asker::new(&world, split).unwrap();
    (0..count).map(|index| asker.search(&mut Rng::of(5, split.as_str(), index))).collect()
}

#[test]
fn words_point_at_one_thing() {
    for (number, asked) in search_free(Split::Train, 250).iter().enumerate() {
        let scene = &asked.scene;
        let mut meant: BTreeMap<String, _> = BTreeMap::new();
        for repeat in 0..6 {
            for (name, bounds) in
                visual::locatable(scene, &mut Rng::of(6, "words", number as u64 * 6 + repeat))
            {
                let before = *meant.entry(name.clone()).or_insert(bounds);
                assert_eq!(before, bounds, "{name} is two things");
            }
        }
        for (index, flag) in scene.flags.iter().enumerate() {
            let others = || scene.flags.iter().enumerate().filter(move |(i, _)| *i != index).map(|(_, f)| f);
            let (x, y) = flag.bounds.centre2();
            for pointer in pointers(scene, index) {
                let holds = match pointer {
                    Pointer::Only => scene.flags.len() == 1,
                    Pointer::Left => others().all(|f| f.bounds.centre2().0 > x),
                    Pointer::Right => others().all(|f| f.bounds.centre2().0 < x),
                    Pointer::Top => others().all(|f| f.bounds.centre2().1 > y),
                    Pointer::Bottom => others().all(|f| f.bounds.centre2().1 < y),
                    Pointer::Largest => others().all(|f| f.width < flag.width),
                    Pointer::Smallest => others().all(|f| f.width > flag.width),
                    Pointer::Beside(look) => {
                        let object = scene.objects.iter().find(|o| o.look == look).unwrap();
                        let near = object.bounds.gap(&flag.bounds);
                        near <= 20 && others().all(|f| object.bounds.gap(&f.bounds) > near)
                    }
                    Pointer::Framed => false,
                };
                assert!(holds, "{pointer:?} does not hold for {index} of {:?}", scene.flags);
            }
        }
    }
}

#[test]
fn search_free_answers_are_what_is_in_the_scene() {
    let mut kinds = BTreeMap::new();
    for asked in search_free(Split::Test, 300) {
        assert!(matches!(asked.need, Need::Picture));
        let objects =
            || asked.scene.objects.iter().map(|o| (o.look.paint.as_str(), o.look.shape.as_str(), o.bounds));
        let answer = asked.gold.answer.as_str();
        let Category::Other(kind) = asked.category else { panic!("{:?}", asked.category) };
        let right = match kind {
            OtherCategory::Count => answer == asked.scene.flags.len().to_string(),
            OtherCategory::Colour => {
                objects().filter(|o| asked.question.contains(o.1)).all(|o| o.0 == answer)
            }
            OtherCategory::Shape => objects().filter(|o| asked.question.contains(o.0)).all(|o| o.1 == answer),
            OtherCategory::Side => {
                let named = objects().find(|o| asked.question.contains(&format!("{} {}", o.0, o.1)));
                let bounds = named.map_or_else(|| asked.scene.flags[0].bounds, |o| o.2);
                let (x, y) = bounds.centre2();
                answer
                    == if asked.question.contains("left") {
                        if x < 448 { "left" } else { "right" }
                    } else if y < 448 {
                        "top"
                    } else {
                        "bottom"
                    }
            }
            OtherCategory::Country => false,
        };
        assert!(right, "{} -> {answer}", asked.question);
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), 4, "{kinds:?}");
}

#[test]
fn every_chain_can_be_followed_over_the_pages() {
    let world = world();
    for split in SPLITS {
        let mut hops = [0; 4];
        for asked in searched(split, 200) {
            let Need::Search { chain, flag, .. } = &asked.need else { panic!("{}", asked.question) };
            let subject = &world.entries()[asked.scene.flags[*flag].country];
            assert_eq!((subject.split, subject.asked), (split, true));
            let mut country = subject.country.name.clone();
            for lookup in &chain.lookups {
                assert_eq!(lookup.country, country);
                let index = world.find(&lookup.country).unwrap();
                let page = fact_page(&world.entries()[index].country, lookup.fact).unwrap();
                assert!(
                    page.text.contains(&lookup.gold.answer),
                    "{} is not in {}",
                    lookup.gold.answer,
                    page.text
                );
                country.clone_from(&lookup.gold.answer);
            }
            let (last, before) = chain.lookups.split_last().map_or((None, &[][..]), |(l, b)| (Some(l), b));
            assert!(before.iter().all(|lookup| lookup.fact == Fact::Neighbour));
            assert_eq!(last.map_or(&subject.country.name, |lookup| &lookup.gold.answer), &asked.gold.answer);
            assert!(!asked.question.contains(&subject.country.name), "{}", asked.question);
            assert!(!asked.question.contains(['{', '}']), "{}", asked.question);
            hops[chain.hops()] += 1;
        }
        assert!(hops.iter().all(|count| *count > 5), "{split:?}: {hops:?}");
    }
}
