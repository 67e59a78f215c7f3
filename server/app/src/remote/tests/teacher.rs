//! A data set whose teacher is a server that fails.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use loupe_search::{Found, ImageQuery, ImageSearch, SearchError, TextQuery, TextSearch};
use loupe_shared::pixels::pattern;
use loupe_train::dataset::DatasetError;
use loupe_train::dataset::collect::{Collected, SourcePlan, collect};
use loupe_train::dataset::intake::Intake;
use loupe_train::dataset::select::Balance;
use loupe_train::dataset::source::{Layout, Source};
use loupe_train::dataset::teacher::{Limits, Teacher};
use tempfile::TempDir;

use super::*;
use crate::images::encode_png;

const PATIENT: Duration = Duration::from_secs(60);

/// A search that no question of these needs.
struct Unused;

fn unused() -> SearchError {
    SearchError::BadQuery("nothing is searched here".to_owned())
}

#[async_trait]
impl TextSearch for Unused {
    fn name(&self) -> &str {
        "unused"
    }

    async fn search(&self, _query: &TextQuery) -> Result<Found, SearchError> {
        Err(unused())
    }

    async fn check(&self) -> Result<(), SearchError> {
        Err(unused())
    }
}

#[async_trait]
impl ImageSearch for Unused {
    fn name(&self) -> &str {
        "unused"
    }

    async fn search(&self, _query: &ImageQuery) -> Result<Found, SearchError> {
        Err(unused())
    }

    async fn check(&self) -> Result<(), SearchError> {
        Err(unused())
    }
}

/// A search by picture that finds nothing.
struct Empty;

#[async_trait]
impl ImageSearch for Empty {
    fn name(&self) -> &str {
        "empty"
    }

    async fn search(&self, _query: &ImageQuery) -> Result<Found, SearchError> {
        Ok(Found { hits: Vec::new(), cached: false })
    }

    async fn check(&self) -> Result<(), SearchError> {
        Ok(())
    }
}

/// An answer of the server's in which the model says that.
fn saying(text: &str) -> (u16, Vec<String>) {
    (200, vec![event(text, Some("stop")), "data: [DONE]\n\n".to_owned()])
}

/// What a teacher that is right says.
fn right() -> (u16, Vec<String>) {
    saying("<reason>I can see it.</reason>\n<answer>Oslo</answer>")
}

/// An answer of a server that refuses.
fn refusing(status: u16, why: &str) -> (u16, Vec<String>) {
    (status, vec![json!({ "error": { "message": why } }).to_string()])
}

/// A folder with questions about a picture.
fn questions(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let picture = encode_png(&pattern(56, 56).unwrap()).unwrap();
    std::fs::write(folder.path().join("a.png"), picture).unwrap();
    put(&folder, count);
    folder
}

/// Puts so many questions into a folder instead of those that are there.
fn put(folder: &TempDir, count: usize) {
    let row = |n: usize| {
        let question = format!("Whose flag is number {n}?");
        json!({ "question": question, "answer": "Oslo", "image": "a.png" }).to_string()
    };
    let rows: Vec<String> = (0..count).map(row).collect();
    std::fs::write(folder.path().join("source.jsonl"), rows.join("\n")).unwrap();
}

fn out(folder: &TempDir) -> PathBuf {
    folder.path().join("out")
}

/// How questions are answered.
struct How {
    timeout: Duration,
    image: Arc<dyn ImageSearch>,
    categories: Vec<String>,
    search_free: Option<f64>,
}

impl Default for How {
    fn default() -> Self {
        Self { timeout: PATIENT, image: Arc::new(Unused), categories: Vec::new(), search_free: None }
    }
}

/// Has a server answer the questions in a folder, one after the other.
async fn build(folder: &TempDir, url: &str, timeout: Duration) -> Result<Collected, DatasetError> {
    build_as(folder, url, How { timeout, ..How::default() }).await
}

async fn build_as(folder: &TempDir, url: &str, how: How) -> Result<Collected, DatasetError> {
    let source = Source {
        file: folder.path().join("source.jsonl"),
        layout: Layout::Jsonl,
        annotations: None,
        images: folder.path().to_owned(),
    };
    let intake = Intake { out: out(folder), skip_bad: false, most_pixels: 1_000_000, sample: None, seed: 1 };
    let How { timeout, image, categories, search_free } = how;
    let balance = Balance { count: None, search_free, per_category: None, seed: 1 };
    let (balance, tools) = (Some(balance), "unused".to_owned());
    let plan = SourcePlan { source, intake, near: 1.0, balance, tools, categories, jobs: 1 };
    let spec = RemoteSpec::parse(&format!("openai:{url}"), Some("deepmm")).unwrap();
    let remote = Arc::new(Remote::connect(&spec, None, MODEL_PIXELS).await.unwrap());
    let limits = Limits { max_turns: 5, timeout, retries: 0 };
    let teacher = Teacher::new(remote, Arc::new(Unused), image, limits).unwrap();
    collect(&plan, Some(&Arc::new(teacher))).await
}

/// The names of what lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// How many questions a build has decided about.
fn decided(folder: &TempDir) -> usize {
    let decisions = std::fs::read_to_string(out(folder).join("decisions.jsonl")).unwrap();
    decisions.lines().filter(|line| line.contains("\"decision\"")).count()
}

/// Panics unless a build ended because of its server: on so many questions, with that reason, and without a data set.
fn ended(built: Result<Collected, DatasetError>, folder: &TempDir, (on, why): (usize, &str)) {
    let error = built.unwrap_err();
    let DatasetError::Teacher { rows, reason } = &error else { panic!("{error}") };
    assert!(*rows == on && reason.contains(why), "{error}");
    assert_eq!(names(&out(folder)), ["decisions.jsonl", "images"]);
}

#[tokio::test]
async fn a_server_that_dies_ends_the_build_and_the_next_one_goes_on() {
    let folder = questions(9);
    let (dying, _) = start(vec![right(), refusing(500, "out of memory")], false).await;
    ended(build(&folder, &dying, PATIENT).await, &folder, (8, "500 Internal Server Error: out of memory"));
    assert_eq!(decided(&folder), 1, "what was answered is kept");

    let (well, double) = start(vec![right()], false).await;
    let built = build(&folder, &well, PATIENT).await.unwrap();
    assert_eq!((built.trajectories.len(), double.asked.load(Ordering::SeqCst)), (9, 8));
    assert!(built.report.dropped.is_empty(), "{:?}", built.report);
}

#[tokio::test]
async fn answers_that_are_none_end_the_build_with_what_the_server_did() {
    for (answer, why) in [
        ((200, vec!["data: <html>\n\n".to_owned()]), "no chunk"),
        ((200, vec![event("<answer>Os", None)]), "ended before its answer did"),
        (refusing(401, "no key"), "set LOUPE_ENGINE_KEY"),
    ] {
        let folder = questions(2);
        let (url, _) = start(vec![answer], false).await;
        ended(build(&folder, &url, PATIENT).await, &folder, (2, why));
        assert_eq!(decided(&folder), 0, "{why}: asked again by the next build");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_waited_for_longer_than_was_said() {
    let folder = questions(2);
    let (url, _) = start(vec![(200, vec![event("<reason>Hm", None)])], true).await;
    let built = build(&folder, &url, Duration::from_millis(50)).await;
    ended(built, &folder, (2, "timeout: no answer within 50ms"));
}

#[tokio::test]
async fn what_the_model_says_wrongly_or_the_server_refuses_is_dropped_for_good() {
    for (answer, reason) in [
        (saying("As a large language model I see flags."), "invalid_turn"),
        (saying("<reason>So.</reason>\n<answer>Rome</answer>"), "wrong_answer"),
        (refusing(400, "the picture is too large"), "not_taken"),
    ] {
        let folder = questions(2);
        let (url, double) = start(vec![answer], false).await;
        let built = build(&folder, &url, PATIENT).await.unwrap();
        let dropped: Vec<(&str, u64)> =
            built.report.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        assert_eq!(dropped, [(reason, 2)]);
        assert_eq!((built.questions.len(), built.trajectories.len(), decided(&folder)), (2, 0, 2));
        let asked = double.asked.load(Ordering::SeqCst);
        build(&folder, &url, PATIENT).await.unwrap();
        assert_eq!(double.asked.load(Ordering::SeqCst), asked, "{reason}: nobody is asked again");
    }
}

#[tokio::test]
async fn rows_that_fail_for_their_own_sake_do_not_end_the_next_build() {
    let folder = questions(20);
    let answers = (0..20).map(|n| if n % 2 == 0 { right() } else { refusing(401, "no") }).collect();
    let (url, _) = start(answers, false).await;
    let first = build(&folder, &url, PATIENT).await.unwrap();
    assert_eq!((first.trajectories.len(), first.report.dropped["teacher_failed"]), (10, 10));

    let (url, double) = start(vec![refusing(401, "no")], false).await;
    let again = build(&folder, &url, PATIENT).await.unwrap();
    assert_eq!((&again.report, double.asked.load(Ordering::SeqCst)), (&first.report, 10));

    let (url, _) = start(vec![right()], false).await;
    assert_eq!(build(&folder, &url, PATIENT).await.unwrap().trajectories.len(), 20);
}

#[tokio::test]
async fn a_few_open_rows_and_a_dead_server_end_the_build() {
    let folder = questions(5);
    let (well, _) = start(vec![right()], false).await;
    build(&folder, &well, PATIENT).await.unwrap();
    put(&folder, 7);
    let (dead, _) = start(vec![refusing(401, "no key")], false).await;
    let error = build(&folder, &dead, PATIENT).await.unwrap_err();
    assert!(matches!(&error, DatasetError::Teacher { rows: 2, .. }), "{error}");
    assert_eq!(build(&folder, &well, PATIENT).await.unwrap().trajectories.len(), 7);
}

#[tokio::test]
async fn a_category_that_could_not_be_asked_for_is_asked_for_again() {
    let folder = questions(1);
    let labelled = || How { categories: vec!["flag".to_owned()], ..How::default() };
    let (url, _) = start(vec![right(), refusing(401, "no key")], false).await;
    let built = build_as(&folder, &url, labelled()).await;
    ended(built, &folder, (1, "no category"));
    assert_eq!(decided(&folder), 0);

    let (url, _) = start(vec![right(), saying("It is a flag.")], false).await;
    let built = build_as(&folder, &url, labelled()).await.unwrap();
    assert_eq!((built.trajectories[0].category.as_str(), decided(&folder)), ("flag", 1));
}

#[tokio::test]
async fn what_is_no_category_is_not_asked_for_again() {
    let labelled = || How { categories: vec!["flag".to_owned()], ..How::default() };
    for answer in [saying("Hm."), refusing(400, "not taken")] {
        let folder = questions(1);
        let (url, _) = start(vec![right(), answer], false).await;
        let built = build_as(&folder, &url, labelled()).await.unwrap();
        assert_eq!((built.trajectories[0].category.as_str(), decided(&folder)), ("unlabelled", 1));
    }
}

#[tokio::test]
async fn a_teacher_has_no_more_searches_by_picture_than_the_agent() {
    let folder = questions(1);
    let search = |what: &str| saying(&format!("<reason>On.</reason>\n<img_search>{what}</img_search>"));
    let corner = |corners: &str| saying(&format!("{{\"bbox_2d\": [{corners}]}}"));
    let answers = vec![
        search("<img>"),
        search("the left part"),
        corner("0, 0, 28, 28"),
        search("the right part"),
        corner("28, 28, 56, 56"),
        search("the rest"),
        right(),
    ];
    let (url, _) = start(answers, false).await;
    let how = How { image: Arc::new(Empty), ..How::default() };
    let built = build_as(&folder, &url, how).await.unwrap();
    assert_eq!(built.report.dropped.keys().collect::<Vec<_>>(), ["refused_turn"]);
    let dropped = std::fs::read_to_string(out(&folder).join("dropped.jsonl")).unwrap();
    assert!(dropped.contains("source-000001") && dropped.contains("refused_turn"), "{dropped}");
}

#[tokio::test]
async fn a_share_that_leaves_no_row_is_refused_and_any_takes_what_there_is() {
    let folder = questions(3);
    let (url, double) = start(vec![right()], false).await;
    let half = How { search_free: Some(0.5), ..How::default() };
    let message = build_as(&folder, &url, half).await.unwrap_err().to_string();
    assert!(message.contains("of which 3 need no search") && message.contains("any"), "{message}");
    assert_eq!(names(&out(&folder)), ["decisions.jsonl", "images"]);
    let built = build_as(&folder, &url, How::default()).await.unwrap();
    assert_eq!((built.trajectories.len(), double.asked.load(Ordering::SeqCst)), (3, 3));
}

#[tokio::test]
async fn other_trainers_files_of_an_earlier_build_go() {
    let folder = questions(2);
    let (url, _) = start(vec![right()], false).await;
    build(&folder, &url, PATIENT).await.unwrap();
    std::fs::write(out(&folder).join("verl.parquet"), "old").unwrap();
    build(&folder, &url, PATIENT).await.unwrap();
    assert!(!out(&folder).join("verl.parquet").exists());
}
