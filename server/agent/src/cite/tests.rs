use loupe_shared::ids::CallId;
use loupe_shared::protocol::HitRef;
use proptest::prelude::*;

use super::*;

fn source(call: u32, rank: u32, by_picture: bool, title: &str, snippet: &str) -> Source {
    let hit = HitRef { call_id: CallId::nth(call), rank };
    Source { hit, by_picture, title: title.to_owned(), snippet: snippet.to_owned() }
}

fn world() -> Vec<Source> {
    vec![
        source(1, 1, true, "Flag of Norway", "This flag belongs to Norway, not Oslo."),
        source(1, 2, true, "Flag of Iceland", "This flag belongs to Iceland."),
        source(2, 1, false, "Norway", "Norway is a country with long fjords."),
        source(2, 2, false, "Oslo", "Oslo is the capital of Norway."),
        source(2, 3, false, "Bergen", "Bergen is a city in Norway."),
    ]
}

fn cited(question: &str, answer: &str) -> Vec<(String, u32, String)> {
    let all = citations(question, answer, &world());
    let text = |span: [u32; 2]| answer[span[0] as usize..span[1] as usize].to_owned();
    all.into_iter().map(|c| (c.hit.call_id.to_string(), c.hit.rank, text(c.span))).collect()
}

#[test]
fn the_page_that_holds_the_answer_is_cited() {
    let question = "What is the capital of the country whose flag is on the left?";
    assert_eq!(cited(question, "Oslo"), [("c2".to_owned(), 2, "Oslo".to_owned())]);
    let whole = "The flag is Norway's. Its capital is Oslo.";
    assert_eq!(
        cited(question, whole),
        [
            ("c1".to_owned(), 1, "The flag is Norway's.".to_owned()),
            ("c2".to_owned(), 2, "Its capital is Oslo.".to_owned()),
        ]
    );
}

#[test]
fn what_no_hit_says_is_not_cited() {
    assert_eq!(cited("Which city?", "Paris"), []);
    assert_eq!(cited("Which city?", GIVE_UP), []);
    assert_eq!(cited("How many flags are there?", "3"), []);
    assert_eq!(cited("Is it the flag of Peru?", "No, the flag of Peru is red."), []);
}

#[test]
fn of_equal_hits_the_best_of_a_text_search_is_cited() {
    let answer = "Norway, I think.";
    assert_eq!(cited("Whose flag is this?", answer), [("c2".to_owned(), 1, answer.to_owned())]);
    let seen = &world()[..2];
    let by_picture = citations("Whose flag is this?", answer, seen);
    assert_eq!(by_picture.iter().map(|c| c.hit.clone()).collect::<Vec<_>>(), [seen[0].hit.clone()]);
}

proptest! {
    #[test]
    fn spans_are_pieces_of_the_answer(answer in "[ .!。\na-cОsloNorwayé]{0,60}") {
        for citation in citations("Which?", &answer, &world()) {
            let [start, end] = citation.span.map(|at| at as usize);
            prop_assert!(start < end);
            prop_assert!(answer.get(start..end).is_some_and(|part| part.trim() == part));
        }
    }
}
