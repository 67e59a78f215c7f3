//! Each layout as it is published, and what is said of rows that do not fit.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Int64Builder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use loupe_shared::pixels::pattern;
use parquet::arrow::ArrowWriter;

use super::super::DatasetError;
use super::super::intake::{Intake, Taken};
use super::super::record::UNLABELLED;
use super::{Layout, Source};
use crate::atlas::files::png_bytes;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> &Self {
        self.bytes(name, text.as_bytes())
    }

    fn picture(&self, name: &str) -> &Self {
        self.bytes(name, &png_bytes(&pattern(40, 30).unwrap()).unwrap())
    }

    fn bytes(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    fn take(&self, name: &str, skip_bad: bool) -> Result<Taken, DatasetError> {
        let file = self.0.path().join(name);
        let annotations = self.0.path().join("annotations.json");
        let source = Source {
            layout: Layout::guess(&file)?,
            annotations: annotations.is_file().then_some(annotations),
            images: self.0.path().to_owned(),
            file,
        };
        let intake = Intake {
            out: self.0.path().join("out"),
            skip_bad,
            most_pixels: 1_000_000,
            sample: None,
            seed: 0,
        };
        intake.take(&source)
    }
}

#[test]
fn our_own_rows() {
    let folder = Folder::new();
    folder
        .picture("a.png")
        .put("own.jsonl", "{\"question\": \" Who? \", \"answer\": \"Ada\", \"image\": \"a.png\"}\n\n");
    let row = &folder.take("own.jsonl", false).unwrap().records[0];
    assert_eq!(
        (row.id.as_str(), row.question.as_str(), row.category.as_str()),
        ("own-000001", "Who?", UNLABELLED)
    );
    assert!(folder.0.path().join("out").join(&row.image).is_file());
}

#[test]
fn rows_that_do_not_fit_are_named_or_counted() {
    let good = r#"{"id": "g", "question": "Who?", "answer": "Ada", "image": "a.png"}"#;
    for (bad, field) in [
        (r#"{"question": "Who?", "image": "a.png"}"#, "answer"),
        (r#"{"question": "Who?", "answer": " ", "image": "a.png"}"#, "answer"),
        (r#"{"question": "Who?", "answer": 42, "image": "a.png"}"#, "answer"),
        (r#"{"question": "", "answer": "x", "image": "a.png"}"#, "question"),
        (r#"{"question": "Who?", "answer": "Ada", "image": "missing.png"}"#, "image"),
        (r#"{"question": "Who?", "answer": "Ada", "image": "own.jsonl"}"#, "image"),
        (r#"{"question": "Who?", "answer": "Ada", "image": "a.png", "anwser": 1}"#, "anwser"),
        (good, "id"),
        ("{", "row"),
    ] {
        let folder = Folder::new();
        folder.picture("a.png").put("own.jsonl", &format!("{good}\n{bad}\n"));
        let error = folder.take("own.jsonl", false).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("line 2") && message.contains(&format!("`{field}`")), "{bad}: {message}");
        let taken = folder.take("own.jsonl", true).unwrap();
        assert_eq!((taken.read, taken.records.len(), taken.bad[field]), (2, 1, 1), "{bad}");
        let left = &taken.left_out[0];
        assert_eq!((left.place.as_deref(), &left.reason), (Some("line 2"), &format!("bad row: {field}")));
    }
}

#[test]
fn a_picture_that_no_model_can_be_shown_does_not_fit() {
    let folder = Folder::new();
    folder
        .bytes("a.png", &png_bytes(&pattern(300, 1).unwrap()).unwrap())
        .put("own.jsonl", r#"{"question": "Who?", "answer": "Ada", "image": "a.png"}"#);
    let message = folder.take("own.jsonl", false).unwrap_err().to_string();
    assert!(message.contains("line 1") && message.contains("`image`"), "{message}");
    assert_eq!(folder.take("own.jsonl", true).unwrap().bad["image"], 1);
    assert!(!folder.0.path().join("out").exists(), "it is not stored");
}

#[test]
fn livevqa_has_two_questions_for_a_picture() {
    let folder = Folder::new();
    folder.picture("n.png").put(
        "benchmark.json",
        r#"[{"id": "0_2025", "img_path": "n.png", "source": "CNN World",
            "level1_qa": {"question": "What is this?", "question_type": "event", "options": ["A. x", "B. y"],
                          "Ground_Truth": "B", "Ground_Truth_List": ["y debate", "y", "y debate"], "img_path": "n.png"},
            "level2_qa": {"question": "How many?", "question_type": "count", "options": ["A. 312,900", "B. 109,000"],
                          "Ground_Truth": "B", "Ground_Truth_List": []}},
           {"id": "1", "level1_qa": {"question": "?", "options": ["A. x"], "Ground_Truth": "C"}, "img_path": "n.png"}]"#,
    );
    let taken = folder.take("benchmark.json", true).unwrap();
    let [first, second] = taken.records.as_slice() else { panic!("{taken:?}") };
    assert_eq!((first.id.as_str(), first.category.as_str()), ("0_2025-level1", "event"));
    assert_eq!((first.answer.as_str(), first.aliases.as_slice()), ("y debate", &["y".to_owned()][..]));
    assert_eq!((second.answer.as_str(), second.image == first.image), ("109,000", true));
    assert_eq!(taken.bad["Ground_Truth"], 1);
}

#[test]
fn ok_vqa_counts_its_ten_answers() {
    let folder = Folder::new();
    let answers = [("pony tail", 4), ("pony", 3), ("braid", 2), ("hair", 1)];
    let answers = answers
        .iter()
        .flat_map(|(text, count)| std::iter::repeat_n(serde_json::json!({"answer": text}), *count));
    let annotations = serde_json::json!({
        "annotations": [{"question_id": 2971475, "image_id": 297147, "question_type": "four",
                         "answers": answers.rev_vec()}],
        "question_types": {"four": "Sports and Recreation"},
    });
    folder.picture("COCO_val2014_000000297147.jpg").put("annotations.json", &annotations.to_string()).put(
        "questions.json",
        r#"{"data_subtype": "val2014", "questions": [
                {"image_id": 297147, "question": "What is the hairstyle called?", "question_id": 2971475},
                {"image_id": 297147, "question": "What else?", "question_id": 1}]}"#,
    );
    let taken = folder.take("questions.json", true).unwrap();
    let row = &taken.records[0];
    assert_eq!((row.answer.as_str(), row.aliases.as_slice()), ("pony tail", &["pony".to_owned()][..]));
    assert_eq!((row.id.as_str(), row.category.as_str()), ("okvqa-2971475", "Sports and Recreation"));
    assert_eq!(taken.bad["question_id"], 1);
    std::fs::remove_file(folder.0.path().join("annotations.json")).unwrap();
    assert!(folder.take("questions.json", false).unwrap_err().to_string().contains("--annotations"));
}

/// So that the order of the answers is not that of their counts.
trait RevVec: DoubleEndedIterator + Sized {
    fn rev_vec(self) -> Vec<Self::Item> {
        self.rev().collect()
    }
}
impl<I: DoubleEndedIterator> RevVec for I {}

#[test]
fn infoseek_finds_its_pictures_and_takes_what_counts_as_right() {
    let folder = Folder::new();
    folder.picture("05/oven_05757589.jpg").put(
        "infoseek_train.jsonl",
        concat!(
            r#"{"data_id": "infoseek_train_00000009", "image_id": "oven_05757589", "question": "Named after?", "answer": ["Spain"], "answer_eval": ["Kingdom of Spain", "Spain"], "data_split": "train"}"#,
            "\n",
            r#"{"data_id": "n", "image_id": "oven_05757589", "question": "How long?", "answer": ["176"], "answer_eval": [{"wikidata": 176.1, "range": [158, 194]}]}"#,
            "\n",
            r#"{"data_id": "m", "image_id": "oven_00000001", "question": "How long?", "answer": ["176"]}"#,
        ),
    );
    let taken = folder.take("infoseek_train.jsonl", true).unwrap();
    let [first, second] = taken.records.as_slice() else { panic!("{taken:?}") };
    assert_eq!(
        (first.answer.as_str(), first.aliases.as_slice()),
        ("Spain", &["Kingdom of Spain".to_owned()][..])
    );
    assert_eq!(second.aliases, ["176.1", "158 to 194"]);
    assert_eq!(taken.bad["image"], 1);
}

/// Written by pandas: see tests/dataset/mmsearch_r1.py.
fn golden() -> Source {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dataset/mmsearch_r1.parquet");
    Source { layout: Layout::guess(&file).unwrap(), annotations: None, images: "".into(), file }
}

#[test]
fn mmsearch_r1_as_pandas_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut intake =
        Intake { out: folder.path().to_owned(), skip_bad: true, most_pixels: 300, sample: None, seed: 0 };
    let taken = intake.take(&golden()).unwrap();
    assert_eq!(taken.read, 5);
    let [first, second] = taken.records.as_slice() else { panic!("{taken:?}") };
    assert_eq!(
        (first.id.as_str(), first.source.as_deref()),
        ("fvqa_train_0", Some("mmsearch_r1/fvqa_train"))
    );
    assert_eq!(first.question, "Which company built this ship?");
    assert_eq!(
        (first.answer.as_str(), first.aliases.as_slice()),
        ("Harland & Wolff", &["Harland and Wolff".to_owned()][..])
    );
    assert!(second.aliases.is_empty());
    assert_eq!((second.id.as_str(), first.search, second.search), ("fvqa_train_1", true, false));
    let stored = crate::atlas::files::read_png(&folder.path().join(&first.image)).unwrap();
    assert_eq!((stored.width(), stored.height()), (20, 15), "40 x 30 pixels are more than 300");
    let bad: Vec<(&str, u64)> = taken.bad.iter().map(|(field, count)| (field.as_str(), *count)).collect();
    assert_eq!(bad, [("answer", 1), ("images", 1), ("reward_model.candidate_answers", 1)]);
    intake.skip_bad = false;
    let message = intake.take(&golden()).unwrap_err().to_string();
    assert!(message.contains("row 3") && message.contains("`answer` is empty"), "{message}");
}

/// A list with one struct in it.
fn one(fields: &[Field; 2], fill: impl FnOnce(&mut StructBuilder)) -> ArrayRef {
    let mut list = ListBuilder::new(StructBuilder::from_fields(fields.to_vec(), 0));
    fill(list.values());
    list.values().append(true);
    list.append(true);
    Arc::new(list.finish())
}

/// A row as verl keeps it, with other right answers as they are given.
fn with_candidates(candidates: ArrayRef) -> RecordBatch {
    let utf8 = |name: &str| Field::new(name, DataType::Utf8, true);
    let prompt = one(&[utf8("role"), utf8("content")], |row| {
        row.field_builder::<StringBuilder>(0).unwrap().append_value("user");
        row.field_builder::<StringBuilder>(1).unwrap().append_value("<image>Who?");
    });
    let png = png_bytes(&pattern(40, 30).unwrap()).unwrap();
    let images = one(&[Field::new("bytes", DataType::Binary, true), utf8("path")], |row| {
        row.field_builder::<BinaryBuilder>(0).unwrap().append_value(&png);
        row.field_builder::<StringBuilder>(1).unwrap().append_value("a.png");
    });
    let field = |name: &str, column: &ArrayRef| Arc::new(Field::new(name, column.data_type().clone(), true));
    let truth: ArrayRef = Arc::new(StringArray::from(vec!["Ada"]));
    let truth = (field("ground_truth", &truth), truth);
    let candidates = (field("candidate_answers", &candidates), candidates);
    let reward: ArrayRef = Arc::new(StructArray::from(vec![truth, candidates]));
    RecordBatch::try_from_iter([("prompt", prompt), ("images", images), ("reward_model", reward)]).unwrap()
}

#[test]
fn other_right_answers_may_be_a_list_and_nothing_else_is_passed_over() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("Ada Lovelace"), None, Some("Countess of Lovelace")]);
    let mut numbers = ListBuilder::new(Int64Builder::new());
    numbers.append_value([Some(1_i64)]);
    let aliases = Ok(vec!["Ada Lovelace".to_owned(), "Countess of Lovelace".to_owned()]);
    let cases: [(ArrayRef, Result<Vec<String>, &str>); 5] = [
        (Arc::new(lists.finish()), aliases),
        (Arc::new(StringArray::from(vec![r#"["Countess"]"#])), Ok(vec!["Countess".to_owned()])),
        (Arc::new(StringArray::from(vec![None::<&str>])), Ok(Vec::new())),
        (Arc::new(numbers.finish()), Err("a list of Int64")),
        (Arc::new(Int64Array::from(vec![1])), Err("holds Int64")),
    ];
    for (candidates, expected) in cases {
        let folder = Folder::new();
        let batch = with_candidates(candidates);
        let file = std::fs::File::create(folder.0.path().join("rows.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        match (folder.take("rows.parquet", false), expected) {
            (Ok(taken), Ok(aliases)) => assert_eq!(taken.records[0].aliases, aliases),
            (Err(error), Err(part)) => {
                let message = error.to_string();
                assert!(message.contains("candidate_answers") && message.contains(part), "{message}");
            }
            (taken, expected) => panic!("{taken:?}, not {expected:?}"),
        }
    }
}

#[test]
fn another_file_is_no_source() {
    let folder = Folder::new();
    folder.put("a.json", "{}").put("b.parquet", "PAR1").put("c.csv", "a,b\n");
    assert!(folder.take("a.json", false).unwrap_err().to_string().contains("--layout"));
    assert!(folder.take("b.parquet", false).unwrap_err().to_string().contains("no parquet"));
    assert!(folder.take("c.csv", false).unwrap_err().to_string().contains("--layout"));
}
