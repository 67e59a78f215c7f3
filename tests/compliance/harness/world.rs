//! The little world that is asked about: two pages and a picture.

use std::path::{Path, PathBuf};

use loupe_app::images::folder::encode_png;
use loupe_shared::pixels::Rgb8;

/// Writes the world; returns its folder.
pub(crate) fn write(folder: &Path) -> PathBuf {
    let world = folder.join("world");
    for part in ["pages", "pictures", "samples"] {
        std::fs::create_dir_all(world.join(part)).unwrap();
    }
    let pages = [
        (
            "flag-of-norway",
            "# Flag of Norway\n\n![Flag of Norway](../pictures/no.png)\n\nThe flag of Norway.\n",
        ),
        ("norway", "# Capital of Norway\n\nThe capital of Norway is Oslo, a city on a fjord.\n"),
        (
            "a <b>",
            "# Tags <script>alert(1)</script>\n\nA page that says &lt;img src=x onerror=alert(1)&gt;.\n",
        ),
    ];
    for (stem, text) in pages {
        std::fs::write(world.join("pages").join(stem).with_extension("md"), text).unwrap();
    }
    std::fs::write(world.join("pictures/no.png"), picture()).unwrap();
    std::fs::write(world.join("samples/one.png"), picture()).unwrap();
    let samples = r#"[{"url": "/samples/one.png", "alt": "A flag", "questions": ["Whose flag is this?"]}]"#;
    std::fs::write(world.join("samples/samples.json"), samples).unwrap();
    world
}

/// A picture of a red flag with a white and blue cross, 224 x 224, as PNG.
pub(crate) fn picture() -> Vec<u8> {
    let at = |x: u32, y: u32| {
        let near = |centre: u32, value: u32, width: u32| value.abs_diff(centre) < width;
        match (near(80, x, 14) || near(112, y, 14), near(80, x, 28) || near(112, y, 28)) {
            (true, _) => [0, 32, 91],
            (_, true) => [255, 255, 255],
            _ => [186, 12, 47],
        }
    };
    let data = (0..224 * 224).flat_map(|i| at(i % 224, i / 224)).collect();
    encode_png(&Rgb8::new(224, 224, data).unwrap()).unwrap()
}

/// A plain picture, as PNG.
pub(crate) fn png(width: u32, height: u32, value: u8) -> Vec<u8> {
    let data = vec![value; width as usize * height as usize * 3];
    encode_png(&Rgb8::new(width, height, data).unwrap()).unwrap()
}
