//! Data sets: the oracle and the real tools.

use std::collections::BTreeMap;
use std::path::Path;

use loupe_agent::dialect;
use loupe_search::local::{LocalImage, LocalText};
use loupe_search::{ImageSearch, SearchError, TextSearch};
use loupe_shared::pixels::PixelLimits;
use loupe_train::atlas::Split;
use loupe_train::atlas::mixture::real::RealCountries;
use loupe_train::dataset::build::{Plan, Tools, build};
use loupe_train::dataset::claim::Claim;
use loupe_train::dataset::record::{Record, RecordRole};
use loupe_train::dataset::report::Report;
use loupe_train::dataset::{DatasetError, file};

use super::{Useless, index, names, world};

/// A data set of a split in `out`.
pub(crate) async fn made(split: Split, count: u64, search_free: f64, out: &Path) -> Report {
    let (text, image) = (LocalText::new(index()), LocalImage::new(index()));
    let plan = Plan { split, count, seed: 7, search_free, out: out.to_owned() };
    built(&plan, &text, &image).await.unwrap()
}

/// A data set that is made with some tools.
async fn built(plan: &Plan, text: &dyn TextSearch, image: &dyn ImageSearch) -> Result<Report, DatasetError> {
    let deepmm = dialect::by_name("deepmm").unwrap();
    let limits = PixelLimits { max_pixels: 50_176, ..PixelLimits::default() };
    let tools = Tools { text, image, dialect: deepmm.as_ref(), limits };
    build(&world(), &tools, plan).await
}

/// Twenty questions that need a search.
fn twenty(out: &Path) -> Plan {
    Plan { split: Split::Test, count: 20, seed: 7, search_free: 0.0, out: out.to_owned() }
}

#[tokio::test]
async fn the_oracle_answers_nearly_everything_about_held_out_countries() {
    let folder = tempfile::tempdir().unwrap();
    let report = made(Split::Test, 80, 0.0, folder.path()).await;
    assert_eq!(report.questions, 80);
    assert_eq!(report.trajectories + report.dropped.values().sum::<u64>(), 80);
    assert_eq!(report.tools.values().sum::<u64>(), report.trajectories);
    assert!(report.tools.keys().all(|kind| kind.contains("a part")), "{report:?}");
    for file in ["report.md", "report.json", "categories.svg", "dropped.svg", "turns.svg", "tools.svg"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    assert!(report.trajectories >= 70, "{report:?}");
    let questions = file::read(&folder.path().join("questions.jsonl")).unwrap();
    assert!(questions.iter().all(|record| record.messages.is_empty() && record.search));
    for record in file::read(&folder.path().join("trajectories.jsonl")).unwrap() {
        assert!(folder.path().join(&record.image).is_file());
        let last = record.messages.last().unwrap();
        assert_eq!((last.role, last.weight), (RecordRole::Assistant, 1.0));
        assert!(last.text.contains(&format!("<answer>{}</answer>", record.answer)), "{}", last.text);
        let told = record.messages.iter().filter(|m| m.role == RecordRole::User);
        assert!(told.clone().all(|message| message.weight == 0.0));
        let views = told.map(|message| message.pictures.len()).sum::<usize>();
        assert_eq!(views, if record.region.is_some() { 2 } else { 1 });
    }
}

#[tokio::test]
async fn without_the_page_of_a_fact_only_whose_flag_it_is_can_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    let image = LocalImage::new(index());
    let report = built(&twenty(folder.path()), &Useless::Empty, &image).await.unwrap();
    assert!(report.dropped["page_not_found"] > 0, "{report:?}");
    assert_eq!(report.trajectories + report.dropped.values().sum::<u64>(), 20);
    let rows = file::read(&folder.path().join("trajectories.jsonl")).unwrap();
    assert!(rows.iter().all(|row| row.hops == Some(0)), "{rows:?}");
}

#[tokio::test]
async fn without_the_flag_no_question_about_it_can_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    let text = LocalText::new(index());
    let report = built(&twenty(folder.path()), &text, &Useless::Empty).await.unwrap();
    assert_eq!(report.dropped, BTreeMap::from([("other_flag_first".to_owned(), 20)]));
    assert_eq!((report.questions, report.trajectories), (20, 0));
    assert!(file::read(&folder.path().join("trajectories.jsonl")).unwrap().is_empty());
}

#[tokio::test]
async fn a_search_that_fails_ends_the_build_and_leaves_no_half_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let text = LocalText::new(index());
    let error = built(&twenty(folder.path()), &text, &Useless::Gone).await.unwrap_err();
    assert!(matches!(&error, DatasetError::Search(SearchError::Unreachable { .. })), "{error}");
    assert_eq!(names(folder.path()), ["images"]);
}

#[tokio::test]
async fn training_rows_show_nothing_of_held_out_countries() {
    let (folder, world) = (tempfile::tempdir().unwrap(), world());
    let report = made(Split::Train, 40, 0.25, folder.path()).await;
    assert!(report.trajectories >= 30, "{report:?}");
    let real = RealCountries::new(&world);
    for record in file::read(&folder.path().join("trajectories.jsonl")).unwrap() {
        for message in &record.messages {
            assert!(!real.names_held_out(&message.text), "{}", message.text);
        }
    }
}

#[tokio::test]
async fn a_line_that_is_no_record_is_named_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    made(Split::Dev, 2, 1.0, folder.path()).await;
    let path = folder.path().join("questions.jsonl");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}\n{{\"id\": 3}}\n")).unwrap();
    let error = file::read(&path).unwrap_err();
    assert!(matches!(error, DatasetError::Line { line: 4, .. }), "{error}");
    let record: Record = serde_json::from_str(good.lines().next().unwrap()).unwrap();
    assert_eq!(record.split, Some(Split::Dev));
}

#[tokio::test]
async fn two_builds_cannot_write_into_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (text, image) = (LocalText::new(index()), LocalImage::new(index()));
    let plan = Plan { count: 2, ..twenty(folder.path()) };
    let claim = Claim::take(folder.path()).unwrap();
    let error = built(&plan, &text, &image).await.unwrap_err();
    assert!(error.to_string().contains("another process writes"), "{error}");
    assert_eq!(names(folder.path()), [".lock"]);
    drop(claim);
    assert_eq!(built(&plan, &text, &image).await.unwrap().questions, 2);
    assert!(!folder.path().join(".lock").exists());
}

#[tokio::test]
async fn what_is_dropped_is_named_and_other_trainers_files_of_an_earlier_build_go() {
    let folder = tempfile::tempdir().unwrap();
    let text = LocalText::new(index());
    let plan = twenty(folder.path());
    built(&plan, &text, &Useless::Empty).await.unwrap();
    let rows = file::read(&folder.path().join("questions.jsonl")).unwrap();
    let dropped = std::fs::read_to_string(folder.path().join("dropped.jsonl")).unwrap();
    assert_eq!(dropped.lines().count(), rows.len());
    assert!(
        dropped.starts_with(&format!(r#"{{"id":"{}","reason":"other_flag_first"}}"#, rows[0].id)),
        "{dropped}"
    );
    std::fs::write(folder.path().join("verl.parquet"), "old").unwrap();
    built(&plan, &text, &Useless::Empty).await.unwrap();
    assert!(!folder.path().join("verl.parquet").exists());
}
