//! Measures picture search on a folder of pictures: `cargo run --release -p loupe-search --example crops -- DIR [COUNT]`.
//!
//! Makes COUNT tight and COUNT loose crops of the pictures in DIR and prints how often the right one comes first. Pictures
//! that look the same (see `same`) are ties: the second number of each row counts any of them as right.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measuring program for developers")]

#[path = "../tests/search/crops.rs"]
mod crops;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use crops::{Damage, Random, crop};
use loupe_search::picture::{Gallery, Thumbnail, decode};
use loupe_shared::pixels::Rgb8;

/// Mean difference per 8-bit value below which two pictures look the same.
const SAME: f32 = 6.0;

#[derive(Default)]
struct Row {
    all: u32,
    first: u32,
    first_or_same: u32,
    top5: u32,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().expect("give a folder of pictures"));
    let count: u64 = args.next().map_or(1000, |n| n.parse().expect("COUNT is a number"));
    let verbose = args.next().is_some();
    let (names, pictures) = read(&dir);
    let thumbnails: Vec<Thumbnail> = pictures.iter().map(Thumbnail::of).collect();
    let gallery = Gallery::new(thumbnails.clone());
    let alike = |a: usize, b: usize| a == b || difference(&thumbnails[a], &thumbnails[b]) < SAME;
    for a in 0..pictures.len() {
        for b in 0..a {
            if alike(a, b) && verbose {
                println!("same: {} {} {:.1}", names[b], names[a], difference(&thumbnails[a], &thumbnails[b]));
            }
        }
    }
    for loose in [false, true] {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let mut confusions: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let (mut slowest, mut total) = (0.0f64, 0.0f64);
        for seed in 0..count {
            let mut random = Random::new(seed * 2 + u64::from(loose));
            let truth = (random.next() % pictures.len() as u64) as usize;
            let damage = if loose { Damage::loose(&mut random) } else { Damage::tight(&mut random) };
            let query = crop(&pictures[truth], &damage, &mut random);
            let start = Instant::now();
            let found = gallery.search(&query, 5);
            let took = start.elapsed().as_secs_f64() * 1e3;
            slowest = slowest.max(took);
            total += took;
            let right = found.first().is_some_and(|m| m.number == truth);
            let same = found.first().is_some_and(|m| alike(m.number, truth));
            let top5 = found.iter().any(|m| m.number == truth);
            if !same && let Some(first) = found.first() {
                *confusions.entry((&names[truth], &names[first.number])).or_default() += 1;
            }
            for key in keys(&damage, found.first().map_or(0.0, |m| m.confidence)) {
                let row = rows.entry(key).or_default();
                row.all += 1;
                row.first += u32::from(right);
                row.first_or_same += u32::from(same);
                row.top5 += u32::from(top5);
            }
        }
        println!(
            "{} crops, mean {:.1} ms, slowest {slowest:.1} ms",
            if loose { "loose" } else { "tight" },
            total / count as f64
        );
        for (key, row) in &rows {
            let percent = |n: u32| 100.0 * f64::from(n) / f64::from(row.all);
            println!(
                "{key:24} {:5}  first {:5.1} %  with ties {:5.1} %  top 5 {:5.1} %",
                row.all,
                percent(row.first),
                percent(row.first_or_same),
                percent(row.top5)
            );
        }
        if verbose {
            let mut worst: Vec<_> = confusions.into_iter().collect();
            worst.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            println!("{:?}", &worst[..worst.len().min(40)]);
        }
    }
}

fn keys(damage: &Damage, confidence: f32) -> Vec<String> {
    let level = |name: &str, value: f32, steps: [f32; 2]| {
        let level = if value < steps[0] {
            "low"
        } else if value < steps[1] {
            "mid"
        } else {
            "high"
        };
        format!("{name} {level}")
    };
    let size = [64, 96, 144, 257].into_iter().find(|&s| damage.size < s).unwrap_or(257);
    vec![
        "all".to_owned(),
        format!("size < {size:3}"),
        level("tilt", damage.tilt.abs(), [7.0, 14.0]),
        level("wave", damage.wave, [0.02, 0.035]),
        level("blur/size", damage.blur / damage.size as f32, [0.004, 0.008]),
        level("noise", damage.noise, [6.0, 12.0]),
        level("dark", 1.25 - damage.gain[0], [0.25, 0.45]),
        format!("overlap {:.1}", (damage.overlap() * 10.0).floor() / 10.0),
        format!("confidence {:.1}", (confidence * 10.0).floor() / 10.0),
    ]
}

fn read(dir: &PathBuf) -> (Vec<String>, Vec<Rgb8>) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let decoded = |file: PathBuf| {
        let name = file.file_stem()?.to_string_lossy().into_owned();
        Some((name, decode(&std::fs::read(&file).ok()?).ok()?))
    };
    files.into_iter().filter_map(decoded).unzip()
}

fn difference(a: &Thumbnail, b: &Thumbnail) -> f32 {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    a.iter().zip(b).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / a.len() as f32
}
