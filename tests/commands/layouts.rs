//! Evaluation of questions as others publish them.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{folder, program, run};

fn write(folder: &Path, name: &str, content: &Value) {
    std::fs::write(folder.join(name), content.to_string()).unwrap();
}

#[test]
fn ok_vqa_is_asked_as_it_is_published() {
    let folder = folder();
    let folder = folder.path();
    let picture = std::fs::read_dir(folder.join("data/images")).unwrap().next().unwrap().unwrap().path();
    std::fs::create_dir(folder.join("pictures")).unwrap();
    std::fs::copy(picture, folder.join("pictures/COCO_val2014_000000000007.jpg")).unwrap();
    let question =
        |id: u64| json!({"image_id": 7, "question": "How many flags do you see?", "question_id": id});
    write(folder, "q.json", &json!({"data_subtype": "val2014", "questions": [question(1), question(2)]}));
    let answer = |id: u64| json!({"question_id": id, "image_id": 7, "question_type": "a", "answers": [{"answer": "2"}]});
    write(
        folder,
        "a.json",
        &json!({"annotations": [answer(1), answer(2)], "question_types": {"a": "Counting"}}),
    );
    let command = "eval --data @q.json --images @pictures --index @atlas --workflow direct --report @report";

    let refused = program(folder, command).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("--annotations"), "{said}");

    // The second time it finds its rows, and that everything is decided.
    for _ in 0..2 {
        run(folder, &format!("{command} --annotations @a.json"));
    }
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.join("report/report.json")).unwrap()).unwrap();
    let rows = report["workflows"][0]["rows"].as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row["id"].as_str(), row["category"].as_str())).collect();
    assert_eq!(told, [(Some("okvqa-1"), Some("Counting")), (Some("okvqa-2"), Some("Counting"))]);
}

#[test]
fn a_layout_without_a_source_is_refused() {
    let folder = folder();
    let refused =
        program(folder.path(), "dataset build --atlas @atlas --layout okvqa --out @out").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--source"), "{said}");
    assert!(!folder.path().join("out").exists());
}
