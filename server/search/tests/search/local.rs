//! The local index from its folder to its hits.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_search::{Cached, ImageQuery, ImageRef, ImageSearch, TextQuery, TextSearch};

use super::crops::{Damage, Random, crop};
use super::mosaic::{mosaic, png};

/// A folder of three towns; Oslo and Lima show pictures.
fn towns() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write(
        "pages/oslo.md",
        "# Oslo\n\nOslo lies at a fjord. It is the capital of Norway.\n\n![Oslo](../pictures/o%20slo.png)"
            .as_bytes(),
    );
    write(
        "pages/lima.md",
        "# Lima\n\n![Lima](../pictures/lima.png)\n\nA town in Peru with Norwegian ships.".as_bytes(),
    );
    write("notes/töwn hall.md", "# Rathaus\n\nDas Rathaus von Köln. 東京は日本の首都。".as_bytes());
    write("pictures/o slo.png", &png(&mosaic(1, 120, 90)));
    write("pictures/lima.png", &png(&mosaic(2, 120, 90)));
    write("pictures/unused.png", &png(&mosaic(3, 120, 90)));
    dir
}

fn titles(index: &Index, text: &str) -> Vec<String> {
    index.search_text(text, 5).unwrap().iter().map(|found| found.page.title.clone()).collect()
}

#[test]
fn words_find_pages_whatever_is_typed() {
    let dir = towns();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(titles(&index, "What is the capital of Norway?"), ["Oslo", "Lima"][..1]);
    assert_eq!(titles(&index, "KOLN"), ["Rathaus"]);
    assert_eq!(titles(&index, "首都"), ["Rathaus"]);
    for odd in ["", "title:oslo^9 AND NOT (", "\"unbalanced", "a* ~ [x TO y]", &"oslo ".repeat(20_000)] {
        index.search_text(odd, 5).unwrap();
    }
    assert_eq!(titles(&index, "quasar"), Vec::<String>::new());
}

#[test]
fn a_title_weighs_more_than_a_mention() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.md"), "# Rivers\n\nThe Nile is long. The Nile floods.").unwrap();
    fs::write(dir.path().join("b.md"), "# Nile\n\nA river in Africa that is long.").unwrap();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(titles(&index, "nile"), ["Nile", "Rivers"]);
}

#[tokio::test]
async fn hits_have_addresses_passages_and_thumbnails() {
    let dir = towns();
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let query = TextQuery { text: "capital of Norway".to_owned(), limit: 1, lang: None };
    let found = LocalText::new(index.clone()).search(&query).await.unwrap();
    let hit = &found.hits[0];
    assert_eq!((hit.rank, hit.url.as_str()), (1, "/pages/oslo"));
    assert_eq!(hit.snippet, "It is the capital of Norway.");
    assert_eq!(hit.thumb.as_deref(), Some("/pictures/o%20slo.png"));
    let hall = TextQuery { text: "Rathaus".to_owned(), ..query };
    let found = LocalText::new(index.clone()).search(&hall).await.unwrap();
    assert_eq!(found.hits[0].url, "/pages/notes%2Ft%C3%B6wn%20hall");
    assert_eq!(index.page("notes/töwn hall").unwrap().title, "Rathaus");
}

#[tokio::test]
async fn a_picture_finds_the_page_that_shows_it() {
    let dir = towns();
    let index = Arc::new(Index::open(dir.path()).unwrap());
    assert_eq!(index.pictures().len(), 2, "a picture that no page shows is left out");
    let image = LocalImage::new(index);
    image.check().await.unwrap();
    let mut random = Random::new(5);
    let damage = Damage { size: 100, ..Damage::tight(&mut random) };
    let seen = crop(&mosaic(2, 120, 90), &damage, &mut random);
    let found =
        image.search(&ImageQuery { image: ImageRef::Pixels(Arc::new(seen)), limit: 2 }).await.unwrap();
    let hit = &found.hits[0];
    assert_eq!((hit.title.as_str(), hit.url.as_str()), ("Lima", "/pages/lima"));
    assert_eq!(hit.thumb.as_deref(), Some("/pictures/lima.png"));
    assert_eq!(hit.snippet, "A town in Peru with Norwegian ships.");
}

#[tokio::test]
async fn an_address_in_place_of_pixels_is_refused() {
    let dir = towns();
    let image = LocalImage::new(Arc::new(Index::open(dir.path()).unwrap()));
    let url = ImageRef::PublicUrl("https://example.org/x.png".parse().unwrap());
    let error = image.search(&ImageQuery { image: url, limit: 1 }).await.unwrap_err();
    assert_eq!(error.code(), "search_bad_query");
}

#[test]
fn only_files_of_the_index_have_names() {
    let dir = towns();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(index.picture_path("o slo.png"), Some(dir.path().join("pictures/o slo.png")));
    for name in ["../pages/oslo.md", "/etc/passwd", "unused.png", ""] {
        assert_eq!(index.picture_path(name), None, "{name}");
    }
}

#[test]
fn the_index_follows_its_folder() {
    let dir = towns();
    assert_eq!(titles(&Index::open(dir.path()).unwrap(), "volcano"), Vec::<String>::new());
    fs::write(dir.path().join("pages/etna.md"), "# Etna\n\nA volcano.").unwrap();
    assert_eq!(titles(&Index::open(dir.path()).unwrap(), "volcano"), ["Etna"]);
    fs::remove_file(dir.path().join("pages/etna.md")).unwrap();
    assert_eq!(titles(&Index::open(dir.path()).unwrap(), "volcano"), Vec::<String>::new());
    let left: Vec<_> = hidden(dir.path());
    assert_eq!(left, [".loupe-index"], "nothing is left over");
}

fn hidden(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

/// Every file of the index, cut short, overwritten and removed in turn: it is made again each time.
/// An open index is in memory: mapped files, shortened by someone else, ended the process with SIGBUS.
#[test]
fn an_open_index_outlives_its_files() {
    let dir = towns();
    let index = Index::open(dir.path()).unwrap();
    for entry in fs::read_dir(dir.path().join(".loupe-index/text")).unwrap() {
        fs::write(entry.unwrap().path(), b"").unwrap();
    }
    assert_eq!(titles(&index, "fjord"), ["Oslo"]);
}

#[test]
fn a_damaged_index_is_made_again() {
    let dir = towns();
    drop(Index::open(dir.path()).unwrap());
    let index = dir.path().join(".loupe-index");
    let parts = ["manifest.json", "pictures.bin", "text/meta.json"].map(str::to_owned);
    let segments = fs::read_dir(index.join("text")).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        format!("text/{name}")
    });
    let segments: Vec<String> =
        segments.filter(|name| name.ends_with(".term") || name.ends_with(".store")).collect();
    assert!(!segments.is_empty());
    for part in parts.iter().chain(&segments) {
        for damage in 0..3 {
            // Segment names change with every index, so each is looked up anew by its ending.
            let file = same_kind(&index, part);
            let bytes = fs::read(&file).unwrap();
            match damage {
                0 => fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
                1 => fs::write(&file, vec![0xa5; bytes.len()]).unwrap(),
                _ => fs::remove_file(&file).unwrap(),
            }
            let again = Index::open(dir.path()).unwrap();
            assert_eq!(titles(&again, "fjord"), ["Oslo"], "{part} {damage}");
        }
    }
}

fn same_kind(index: &Path, part: &str) -> std::path::PathBuf {
    let path = index.join(part);
    if path.exists() {
        return path;
    }
    let wanted = path.extension().map(ToOwned::to_owned);
    let mut files = fs::read_dir(index.join("text")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|file| file.extension().map(ToOwned::to_owned) == wanted).unwrap()
}

#[test]
fn what_cannot_be_indexed_is_reported_and_left_out() {
    let dir = towns();
    fs::write(dir.path().join("pages/broken.md"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(dir.path().join("pictures/lima.png"), b"<svg/>").unwrap();
    let (index, report) = Index::build(dir.path()).unwrap();
    let skipped: Vec<String> = report.skipped.iter().map(|s| s.path.to_string_lossy().into_owned()).collect();
    assert_eq!(skipped, ["pages/broken.md", "pictures/lima.png", "pictures/unused.png"]);
    assert_eq!((report.pages, report.pictures), (3, 1));
    assert_eq!(index.pages().len(), 3);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let Err(error) = Index::open(Path::new("no/such/folder")) else { panic!("it was opened") };
    assert_eq!(error.code(), "search_index");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}

#[tokio::test]
async fn an_empty_folder_finds_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let index = Arc::new(Index::open(dir.path()).unwrap());
    assert_eq!(titles(&index, "anything"), Vec::<String>::new());
    assert_eq!(index.search_picture(&mosaic(1, 20, 20), 5).len(), 0);
    assert_eq!(LocalImage::new(index).check().await.unwrap_err().code(), "search_index");
}

#[tokio::test]
async fn a_cache_answers_the_same_words_again() {
    let dir = towns();
    let text = Cached::new(LocalText::new(Arc::new(Index::open(dir.path()).unwrap())));
    let query = |text: &str, limit| TextQuery { text: text.to_owned(), limit, lang: None };
    let first = text.search(&query("Capital  of Norway", 3)).await.unwrap();
    let again = text.search(&query(" capital of norway", 3)).await.unwrap();
    let other = text.search(&query("capital of norway", 2)).await.unwrap();
    assert_eq!([first.cached, again.cached, other.cached], [false, true, false]);
    assert_eq!(first.hits, again.hits);
}
