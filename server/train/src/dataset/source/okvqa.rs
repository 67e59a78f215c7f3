//! OK-VQA (okvqa.allenai.org), in VQA's layout: `OpenEnded_mscoco_val2014_questions.json` with `data_subtype` and
//! `questions: [{"image_id", "question", "question_id"}]`, and `mscoco_val2014_annotations.json` with
//! `annotations: [{"question_id", "question_type", "answers": [{"answer"}, … ten]}]` and the names of `question_types`.
//!
//! The most frequent of the ten answers is the answer. An answer that three people gave counts in full by VQA's rule
//! (visualqa.org/evaluation), so those are aliases.

use std::collections::HashMap;

use serde_json::Value;

use super::super::DatasetError;
use super::fields::{field, json, name, rows, text};
use super::{BadRow, Draft, Each, Picture, Source, question};

/// People who have to agree, of ten.
const AGREEING: usize = 3;

pub(super) fn read(source: &Source, each: &mut Each<'_>) -> Result<(), DatasetError> {
    let asked = json(&source.file)?;
    let subset = asked.get("data_subtype").and_then(Value::as_str).unwrap_or("val2014");
    let path = source.annotations.as_deref().ok_or_else(|| DatasetError::Source {
        path: source.file.clone(),
        reason: "OK-VQA has its answers in a second file; give it with --annotations".to_owned(),
    })?;
    let answered = json(path)?;
    let of_question: HashMap<String, &Value> = rows(path, &answered, "annotations")?
        .iter()
        .filter_map(|row| Some((name(row, "question_id").ok()?, row)))
        .collect();
    for (number, row) in (1..).zip(rows(&source.file, &asked, "questions")?) {
        let draft = name(row, "question_id").and_then(|id| {
            let annotation =
                of_question.get(&id).ok_or_else(|| BadRow::new("question_id", "has no annotation"))?;
            let mut record =
                question(format!("okvqa-{id}"), "okvqa", text(row, "question")?, answers(annotation)?);
            if let Some(category) = category(&answered, annotation) {
                record.category = category;
            }
            Ok(Draft { record, picture: Picture::File(source.images.join(picture(row, subset)?)) })
        });
        each(&format!("question {number}"), draft)?;
    }
    Ok(())
}

/// `COCO_val2014_000000297147.jpg`
fn picture(row: &Value, subset: &str) -> Result<String, BadRow> {
    let id = field(row, "image_id")?.as_u64().ok_or_else(|| BadRow::new("image_id", "is no number"))?;
    Ok(format!("COCO_{subset}_{id:012}.jpg"))
}

fn category(file: &Value, annotation: &Value) -> Option<String> {
    let kind = annotation.get("question_type")?.as_str()?;
    Some(file.get("question_types").and_then(|names| names.get(kind)?.as_str()).unwrap_or(kind).to_owned())
}

/// The answer of most people first, then those that enough gave; ties go to the first given.
fn answers(annotation: &Value) -> Result<Vec<String>, BadRow> {
    let given = field(annotation, "answers")?;
    let given = given.as_array().ok_or_else(|| BadRow::new("answers", "is no list"))?;
    let mut counted: Vec<(String, usize)> = Vec::new();
    for answer in given {
        let answer = text(answer, "answer")?;
        match counted.iter_mut().find(|(known, _)| known == answer) {
            Some((_, count)) => *count += 1,
            None => counted.push((answer.to_owned(), 1)),
        }
    }
    // The sort is stable.
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let enough = |(place, (_, count)): &(usize, (String, usize))| *place == 0 || *count >= AGREEING;
    Ok(counted.into_iter().enumerate().filter(enough).map(|(_, (answer, _))| answer).collect())
}
