//! Rows that teach nothing new, and rows that give their answer away.

use std::collections::{HashMap, HashSet};

use super::record::Record;
use super::report::LeftOut;
use crate::eval::judge::fold::words;
use crate::eval::judge::stands_in;

/// Tokens of a shingle.
const SHINGLE: usize = 2;

/// Why a row is left out.
const SAME: &str = "duplicate";
const NEAR: &str = "near_duplicate";
const LEAK: &str = "answer_in_question";

/// Leaves out, in this order of tests: rows whose answer stands in the question; rows that ask the same about the same
/// part of the same picture as a row before; rows that ask nearly the same there, with shingles of words (of letters, in
/// scripts without spaces) that overlap (Jaccard) by at least `near`, and have the same answer: "on the left" and "on the
/// right" ask nearly the same otherwise. Returns what stays and what does not.
#[must_use]
pub fn distinct(records: Vec<Record>, near: f64) -> (Vec<Record>, Vec<LeftOut>) {
    let mut dropped = Vec::new();
    let mut seen: HashMap<String, Vec<Asked>> = HashMap::new();
    let mut kept = Vec::with_capacity(records.len());
    for record in records {
        let asked = Asked::of(&record);
        let picture = format!("{} {:?}", record.image, record.region);
        let before = seen.entry(picture).or_default();
        match if asked.leaks(&record) { Some(LEAK) } else { asked.fault(before, near) } {
            Some(reason) => dropped.push(LeftOut::row(&record, reason)),
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
        let question = tokens(&record.question);
        let size = SHINGLE.min(question.len().max(1));
        let shingles = question.windows(size).map(|window| window.join(" ")).collect();
        Self { question, shingles, answer: tokens(&record.answer) }
    }

    /// Whether what is right stands in the question. A single letter of a script without spaces has to stand alone: "是"
    /// is in most questions.
    fn leaks(&self, record: &Record) -> bool {
        let stands = |gold: &str| {
            let gold = tokens(gold);
            gold.len() > 1 && self.question.windows(gold.len()).any(|window| window == gold)
        };
        stands_in(&record.question, &record.answer, &record.aliases)
            || stands(&record.answer)
            || record.aliases.iter().any(|alias| stands(alias))
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

/// Folded words; each letter of a script in which spaces do not tell words apart is one of its own.
fn tokens(text: &str) -> Vec<String> {
    words(text).iter().flat_map(|word| split(word)).collect()
}

fn split(word: &str) -> Vec<String> {
    let (mut tokens, mut opens): (Vec<String>, bool) = (Vec::new(), true);
    for c in word.chars() {
        let alone = is_unspaced(c);
        match tokens.last_mut() {
            Some(token) if !alone && !opens => token.push(c),
            _ => tokens.push(c.to_string()),
        }
        opens = alone;
    }
    tokens
}

/// Whether a letter is of a script that is written without spaces, or, as Hangul, with particles at its words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        // Thai and Lao, Burmese, Khmer
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        // Kana, Hangul
        | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ac00}'..='\u{d7a3}'
        // Han
        | '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image: &str, question: &str, answer: &str) -> Record {
        let json = serde_json::json!({"image": image, "question": question, "answer": answer});
        serde_json::from_value(json).unwrap()
    }

    fn reasons(rows: Vec<Record>) -> Vec<String> {
        distinct(rows, 0.7).1.into_iter().map(|left| left.reason).collect()
    }

    #[test]
    fn the_same_question_about_another_picture_stays() {
        let rows =
            vec![row("a", "Who is it?", "Ada"), row("b", "Who is it?", "Ada"), row("a", "WHO is it", "Bob")];
        let (kept, dropped) = distinct(rows, 0.7);
        assert_eq!(kept.iter().map(|row| row.image.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(dropped.into_iter().map(|left| left.reason).collect::<Vec<_>>(), ["duplicate"]);
    }

    #[test]
    fn nearly_the_same_words_count_only_with_the_same_answer() {
        let left = "In which year was the tall tower on the left of this picture built?";
        let right = "In which year was the tall tower on the right of this picture built?";
        assert!(reasons(vec![row("a", left, "1889"), row("a", right, "1902")]).is_empty());
        let again = "In which year was the tall tower on the left of this picture really built?";
        assert_eq!(reasons(vec![row("a", left, "1889"), row("a", again, "1889")]), ["near_duplicate"]);
        assert!(reasons(vec![row("a", left, "1889"), row("a", "When was it built?", "1889")]).is_empty());
    }

    #[test]
    fn answers_in_questions_are_found_as_whole_words() {
        assert_eq!(reasons(vec![row("a", "Is the Eiffel Tower in Paris?", "Eiffel tower")]).len(), 1);
        assert!(reasons(vec![row("a", "Is this north of Oslo?", "no")]).is_empty());
    }

    #[test]
    fn answers_in_questions_are_found_where_no_spaces_tell_words_apart() {
        for (question, answer) in [
            ("東京塔在哪座城市東京吗?", "東京"),
            ("「レオナルド・ダ・ヴィンチ」が描いた絵はどれ?", "レオナルド・ダ・ヴィンチ"),
            ("ｉＰｈｏｎｅ手机是哪家公司的?", "iPhone手机"),
            ("서울타워는 서울에 있나요?", "서울"),
            ("วัดนี้อยู่ในประเทศไทยใช่ไหม", "ประเทศไทย"),
        ] {
            assert_eq!(reasons(vec![row("a", question, answer)]), [LEAK], "{question}");
        }
        let mut by_alias = row("a", "東京塔在哪里?", "Tokyo");
        by_alias.aliases = vec!["東京".to_owned()];
        assert_eq!(reasons(vec![by_alias]), [LEAK]);
        for (question, answer) in [
            ("15年前に建てられましたか?", "5年"),
            ("这是东京塔吗?", "是"),
            ("京東在哪里?", "東京"),
            ("각도는?", "가"),
        ] {
            assert!(reasons(vec![row("a", question, answer)]).is_empty(), "{question}");
        }
    }

    #[test]
    fn nearly_the_same_letters_count_where_no_spaces_tell_words_apart() {
        let asked = "この写真の左側に写っている高い塔は何年に建てられましたか?";
        let again = "この写真の左側に写っている高い塔は何年に建てられたのですか?";
        assert_eq!(reasons(vec![row("a", asked, "1889年"), row("a", again, "1889年")]), ["near_duplicate"]);
        assert!(reasons(vec![row("a", asked, "1889年"), row("a", again, "1902年")]).is_empty());
        assert!(reasons(vec![row("a", asked, "1889年"), row("a", "塔の高さは?", "1889年")]).is_empty());
    }
}
