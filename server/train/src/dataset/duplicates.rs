//! Rows that teach nothing new, and rows that give their answer away.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::record::Record;
use crate::eval::judge::fold::words;
use crate::eval::judge::stands_in;

/// Words of a shingle.
const SHINGLE: usize = 2;

/// Why a row is left out.
const SAME: &str = "duplicate";
const NEAR: &str = "near_duplicate";
const LEAK: &str = "answer_in_question";

/// Leaves out, in this order of tests: rows whose answer stands in the question; rows that ask the same about the same
/// part of the same picture as a row before; rows that ask nearly the same there, with shingles of words that overlap
/// (Jaccard) by at least `near`, and have the same answer: "on the left" and "on the right" ask nearly the same otherwise.
/// Returns what stays and counts what does not.
#[must_use]
pub fn distinct(records: Vec<Record>, near: f64) -> (Vec<Record>, BTreeMap<String, u64>) {
    let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen: HashMap<String, Vec<Asked>> = HashMap::new();
    let mut kept = Vec::with_capacity(records.len());
    for record in records {
        let asked = Asked::of(&record);
        let picture = format!("{} {:?}", record.image, record.region);
        let before = seen.entry(picture).or_default();
        let leaks = stands_in(&record.question, &record.answer, &record.aliases);
        match if leaks { Some(LEAK) } else { asked.fault(before, near) } {
            Some(reason) => *dropped.entry(reason.to_owned()).or_default() += 1,
            None => {
                before.push(asked);
                kept.push(record);
            }
        }
    }
    (kept, dropped)
}

/// A question, folded.
struct Asked {
    question: Vec<String>,
    shingles: HashSet<String>,
    answer: Vec<String>,
}

impl Asked {
    fn of(record: &Record) -> Self {
        let question = words(&record.question);
        let size = SHINGLE.min(question.len().max(1));
        let shingles = question.windows(size).map(|window| window.join(" ")).collect();
        Self { question, shingles, answer: words(&record.answer) }
    }

    fn fault(&self, before: &[Self], near: f64) -> Option<&'static str> {
        if before.iter().any(|other| other.question == self.question) {
            return Some(SAME);
        }
        let is_near = |other: &Self| other.answer == self.answer && self.overlap(other) >= near;
        before.iter().any(is_near).then_some(NEAR)
    }

    /// Jaccard's index of the shingles.
    fn overlap(&self, other: &Self) -> f64 {
        let both = self.shingles.intersection(&other.shingles).count();
        let all = self.shingles.len() + other.shingles.len() - both;
        if all == 0 { 0.0 } else { both as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image: &str, question: &str, answer: &str) -> Record {
        let json = serde_json::json!({"image": image, "question": question, "answer": answer});
        serde_json::from_value(json).unwrap()
    }

    fn reasons(rows: Vec<Record>) -> Vec<(String, u64)> {
        distinct(rows, 0.7).1.into_iter().collect()
    }

    #[test]
    fn the_same_question_about_another_picture_stays() {
        let rows =
            vec![row("a", "Who is it?", "Ada"), row("b", "Who is it?", "Ada"), row("a", "WHO is it", "Bob")];
        let (kept, dropped) = distinct(rows, 0.7);
        assert_eq!(kept.iter().map(|row| row.image.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(dropped.into_iter().collect::<Vec<_>>(), [("duplicate".to_owned(), 1)]);
    }

    #[test]
    fn nearly_the_same_words_count_only_with_the_same_answer() {
        let left = "In which year was the tall tower on the left of this picture built?";
        let right = "In which year was the tall tower on the right of this picture built?";
        assert!(reasons(vec![row("a", left, "1889"), row("a", right, "1902")]).is_empty());
        let again = "In which year was the tall tower on the left of this picture really built?";
        assert_eq!(
            reasons(vec![row("a", left, "1889"), row("a", again, "1889")]),
            [("near_duplicate".to_owned(), 1)]
        );
        assert!(reasons(vec![row("a", left, "1889"), row("a", "When was it built?", "1889")]).is_empty());
    }

    #[test]
    fn answers_in_questions_are_found_as_whole_words() {
        assert_eq!(reasons(vec![row("a", "Is the Eiffel Tower in Paris?", "Eiffel tower")]).len(), 1);
        assert!(reasons(vec![row("a", "Is this north of Oslo?", "no")]).is_empty());
    }
}
