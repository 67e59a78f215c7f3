//! The pixel arithmetic against Pillow's and transformers' own output (`tests/golden/pixels/generate.py`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use loupe_shared::pixels::{
    PixelLimits, Rect, Rgb8, crop, patches, patches::PATCH_BYTES, pattern, resize, smart_resize,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    name: String,
    source: (u32, u32),
    crop: (u32, u32, u32, u32),
    target: (u32, u32),
    blake3: String,
    png: Option<String>,
}

#[derive(Deserialize)]
struct PatchCase {
    source: (u32, u32),
    patches: usize,
    blake3: String,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pixels").join(name)
}

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let rows: Vec<T> = serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap();
    assert!(!rows.is_empty(), "{name} has no cases");
    rows
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn run(case: &Case) -> Rgb8 {
    let source = pattern(case.source.0, case.source.1).unwrap();
    let (x, y, width, height) = case.crop;
    let part = crop(&source, Rect::new(x, y, width, height, case.source).unwrap()).unwrap();
    resize(&part, case.target.0, case.target.1).unwrap()
}

fn differing_bytes(case: &Case, ours: &Rgb8) -> Option<usize> {
    let file = std::fs::File::open(golden(case.png.as_ref()?)).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut theirs = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut theirs).unwrap();
    assert_eq!(
        (info.width, info.height, info.color_type),
        (ours.width(), ours.height(), png::ColorType::Rgb)
    );
    Some(ours.data().iter().zip(&theirs).filter(|(a, b)| a != b).count())
}

#[test]
fn named_cases_have_pillows_bytes() {
    let cases: Vec<Case> = read("cases.json");
    for case in &cases {
        let ours = run(case);
        assert!(
            differing_bytes(case, &ours).is_none_or(|n| n == 0),
            "{} differs from Pillow's PNG",
            case.name
        );
        assert_eq!(hash(ours.data()), case.blake3, "{}", case.name);
    }
}

#[test]
fn random_sizes_have_pillows_bytes() {
    for case in read::<Case>("sweep.json") {
        let ours = run(&case);
        assert_eq!(hash(ours.data()), case.blake3, "{:?} {:?} {:?}", case.source, case.crop, case.target);
    }
}

#[test]
fn smart_resize_is_that_of_transformers() {
    type Row = (u32, u32, u32, u64, u64, Option<(u32, u32)>);
    for (height, width, factor, min_pixels, max_pixels, expected) in read::<Row>("smart.json") {
        let limits = PixelLimits { factor, min_pixels, max_pixels };
        assert_eq!(smart_resize(height, width, limits).ok(), expected, "{height} x {width}, {limits:?}");
    }
}

#[test]
fn patches_come_in_the_order_of_transformers() {
    for case in read::<PatchCase>("patches.json") {
        let bytes = patches(&pattern(case.source.0, case.source.1).unwrap()).unwrap();
        assert_eq!(bytes.len(), case.patches * PATCH_BYTES);
        assert_eq!(hash(&bytes), case.blake3, "{:?}", case.source);
    }
}
