//! LiveVQA (arXiv 2504.05288) as its repository publishes it, `liveVQA_benchmarks/*/benchmark.json`: a list of
//! `{"id", "img_path", "level1_qa", "level2_qa", "source"}`, where each level has `question`, `question_type`, `options`
//! ("B. 109,000"), `Ground_Truth` (the letter) and `Ground_Truth_List` (what is right, the best first).
//!
//! Both levels become questions without their options.

use serde_json::Value;

use super::super::DatasetError;
use super::fields::{json, name, rows, text, texts};
use super::{BadRow, Draft, Each, Picture, Source, question};

const LEVELS: [&str; 2] = ["level1_qa", "level2_qa"];

pub(super) fn read(source: &Source, each: &mut Each<'_>) -> Result<(), DatasetError> {
    let entries = json(&source.file)?;
    for (number, entry) in (1..).zip(rows(&source.file, &entries, "")?) {
        let mut any = false;
        for level in LEVELS {
            let Some(qa) = entry.get(level).filter(|qa| !qa.is_null()) else { continue };
            any = true;
            each(&format!("entry {number}, {level}"), draft(source, entry, level, qa))?;
        }
        if !any {
            each(&format!("entry {number}"), Err(BadRow::new(LEVELS[0], "is missing")))?;
        }
    }
    Ok(())
}

fn draft(source: &Source, entry: &Value, level: &str, qa: &Value) -> Result<Draft, BadRow> {
    let id = format!("{}-{}", name(entry, "id")?, level.trim_end_matches("_qa"));
    let picture = text(qa, "img_path").or_else(|_| text(entry, "img_path"))?;
    let mut record = question(id, "livevqa", text(qa, "question")?, answers(qa)?);
    if let Ok(kind) = text(qa, "question_type") {
        kind.clone_into(&mut record.category);
    }
    Ok(Draft { record, picture: Picture::File(source.images.join(picture)) })
}

/// What is right, in the words of the list, or else of the option with the letter.
fn answers(qa: &Value) -> Result<Vec<String>, BadRow> {
    if qa.get("Ground_Truth_List").is_some_and(|list| !list.is_null()) {
        let list = texts(qa, "Ground_Truth_List")?;
        if !list.is_empty() {
            return Ok(list);
        }
    }
    let letter = text(qa, "Ground_Truth")?;
    let options = texts(qa, "options")?;
    let chosen = options.iter().find_map(|option| option.strip_prefix(letter)?.strip_prefix('.'));
    let chosen =
        chosen.ok_or_else(|| BadRow::new("Ground_Truth", format!("is {letter:?}, which is no option")))?;
    Ok(vec![chosen.trim().to_owned()])
}
