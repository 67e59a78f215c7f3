//! Countries, pages, splits, and the folder they are written to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use loupe_train::atlas::build::build;
use loupe_train::atlas::mixture::real::RealCountries;
use loupe_train::atlas::pages::pages;
use loupe_train::atlas::{AtlasError, Split, World};

use super::{packages, world};

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_they_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let report = build(&packages(), &first, 0, None).unwrap();
    build(&packages(), &second, 0, None).unwrap();
    let written = files(&first);
    assert!(written == files(&second), "two builds differ");
    assert_eq!(written.keys().filter(|name| name.starts_with("pages")).count(), report.pages);
    assert_eq!(written.keys().filter(|name| name.starts_with("pictures")).count(), report.countries);
    let read = World::open(&first).unwrap();
    assert_eq!(read.entries(), world().entries());
    // An Atlas may be built over an older one, and nothing of the older one stays.
    std::fs::write(first.join("pages/left-over.md"), "# Left over").unwrap();
    build(&packages(), &first, 0, None).unwrap();
    assert!(files(&first) == written);
}

#[test]
fn a_made_up_world_shows_nothing_of_held_out_countries() {
    let folder = tempfile::tempdir().unwrap();
    build(&packages(), folder.path(), 0, Some(5)).unwrap();
    let (invented, real) = (World::open(folder.path()).unwrap(), RealCountries::new(&world()));
    let flags = |world: &World| -> BTreeSet<String> {
        let train = world.entries().iter().filter(|entry| entry.split == Split::Train);
        train.map(|entry| entry.country.code.clone()).collect()
    };
    assert_eq!(flags(&invented), flags(&world()));
    assert_eq!(invented.entries().len(), flags(&invented).len(), "all of it is for training");
    for entry in invented.entries() {
        assert!(world().find(&entry.country.name).is_none(), "{} exists", entry.country.name);
        for page in pages(&entry.country) {
            assert!(!real.names_held_out(&page.text), "{}", page.text);
        }
    }
}

#[test]
fn a_folder_with_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = build(&packages(), folder.path(), 0, None).unwrap_err();
    assert!(matches!(error, AtlasError::Occupied { .. }), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn missing_packages_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = build(folder.path(), &folder.path().join("out"), 0, None).unwrap_err().to_string();
    assert!(error.contains("world-countries"), "{error}");
}

#[test]
fn splits_are_disjoint_have_their_shares_and_follow_the_seed() {
    let world = world();
    let parts = [Split::Train, Split::Dev, Split::Test].map(|split| world.asked(split));
    let together: BTreeSet<usize> = parts.iter().flatten().copied().collect();
    assert_eq!(together.len(), parts.iter().map(Vec::len).sum::<usize>());
    let [train, dev, test] = parts.map(|part| part.len());
    assert!(
        (155..=185).contains(&train) && (25..=32).contains(&dev) && (34..=42).contains(&test),
        "{train} {dev} {test}"
    );
    for continent in ["Africa", "Americas", "Asia", "Europe", "Oceania"] {
        let held_out = world.asked(Split::Test);
        let of_continent = |&index: &usize| world.entries()[index].country.continent == continent;
        assert!(held_out.iter().any(of_continent), "no test country in {continent}");
    }
    let other = World::from_packages(&packages(), 1).unwrap();
    assert_ne!(other.asked(Split::Test), world.asked(Split::Test));
}

#[test]
fn nobody_is_asked_about_flags_that_look_alike() {
    let world = world();
    let asked = |name: &str| world.find(name).map(|index| world.entries()[index].asked);
    for name in ["Chad", "Romania", "Indonesia", "Monaco"] {
        assert_eq!(asked(name), Some(false), "{name}");
    }
    for name in ["Ireland", "Italy", "Norway", "Iceland", "Netherlands", "Luxembourg"] {
        assert_eq!(asked(name), Some(true), "{name}");
    }
    assert_eq!(asked("Réunion"), None, "it flies the flag of France");
    assert!(world.record().dropped.iter().any(|d| d.name == "Antarctica"));
}

#[test]
fn each_fact_stands_on_one_short_page() {
    let world = world();
    let mut titles = BTreeSet::new();
    for entry in world.entries() {
        for page in pages(&entry.country) {
            assert!(titles.insert(page.title.clone()), "two pages {}", page.title);
            assert!(page.text.split_whitespace().count() <= 50, "{}", page.text);
            assert!(page.text.contains(&entry.country.name), "{}", page.text);
            assert!(!page.text.contains(".."), "{}", page.text);
        }
        let flag = &pages(&entry.country)[0];
        assert_eq!(flag.text, format!("This is the flag of {}.", entry.country.name));
        assert!(flag.markdown().contains(&format!("](../pictures/{}.png)", entry.country.code)));
        let capital = &pages(&entry.country)[1];
        assert!(capital.title.starts_with("Capital of") && capital.text.contains(&entry.country.capital));
    }
}
