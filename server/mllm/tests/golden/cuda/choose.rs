//! The choice of tokens against the CPU's, which is the same number for number.

use loupe_mllm::cuda::choosing::{CHOICE, Choosing, choice_words, mask_words};
use loupe_mllm::cuda::gpu::{Gpu, Memory};
use loupe_mllm::cuda::kernels::Kernels;
use loupe_mllm::lm::{Choice, Draw, TokenSet};

use super::bench::{Bench, NARROW, numbers, on_each_gpu};

on_each_gpu!(
    the_likeliest_token_is_the_first_of_equals_and_all_scores_are_finite,
    only_tokens_that_may_be_are_taken,
    draws_are_the_cpus,
    flat_scores_and_equals_are_drawn_as_on_the_cpu,
);

/// A vocabulary that no number of threads divides.
const VOCAB: usize = 9005;

/// The token of each row.
fn chosen<G: Gpu>(bench: &Bench<G>, scores: &[f32], choices: &[Choice]) -> Vec<i32> {
    let (rows, words) = (choices.len(), mask_words(VOCAB));
    let mut masks = vec![0; rows * words];
    for (row, choice) in choices.iter().enumerate() {
        let Some(among) = &choice.among else { continue };
        for id in (0..VOCAB).filter(|id| among.has(*id as u32)) {
            masks[row * words + id / 32] |= 1 << (id % 32);
        }
    }
    let words: Vec<i32> = choices.iter().flat_map(choice_words).collect();
    assert_eq!(words.len(), rows * CHOICE);
    let (scores, words, masks) = (bench.f32(scores), bench.i32(&words), bench.i32(&masks));
    let (space, ids) = (bench.room(Kernels::<G>::choose_space([rows, VOCAB])), bench.room(4 * rows));
    let [scores, choices, masks, space] = [&scores, &words, &masks, &space].map(Memory::address);
    let choosing = Choosing { scores, choices, masks, space, ids: ids.address() };
    bench.kernels().choose(&choosing, [rows, VOCAB]).expect("a launch");
    bench.read_i32(&ids, rows)
}

/// The same on the CPU.
fn expected(scores: &[f32], choices: &[Choice]) -> Vec<i32> {
    let rows = scores.chunks_exact(VOCAB).zip(choices);
    rows.map(|(scores, choice)| choice.of(scores).map_or(-1, |id| id as i32)).collect()
}

fn draw(temperature: f32, top_p: f32, uniform: f32) -> Option<Draw> {
    Some(Draw { temperature, top_p, uniform })
}

fn the_likeliest_token_is_the_first_of_equals_and_all_scores_are_finite<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let mut scores = numbers(6 * VOCAB, 1);
    let at = |row: usize, id: usize| row * VOCAB + id;
    // Equals in one part and in two, at the very end, and what is not finite.
    for (row, id) in [(0, 77), (0, 78), (0, 8500), (1, 9004), (2, 5000), (3, 300), (4, 9004), (5, 0)] {
        scores[at(row, id)] = 3.0;
    }
    scores[at(2, 4999)] = f32::NAN;
    scores[at(3, 301)] = f32::NEG_INFINITY;
    scores[at(4, 0)] = f32::INFINITY;
    let tokens = [77, 9004, -1, -1, -1, 0];
    for draw in [None, draw(1.0, 0.0, 0.0)] {
        let choices = vec![Choice { among: None, draw }; 6];
        assert_eq!(chosen(&bench, &scores, &choices), tokens);
        assert_eq!(expected(&scores, &choices), tokens);
    }
}

fn only_tokens_that_may_be_are_taken<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let mut scores = numbers(6 * VOCAB, 1);
    scores[4 * VOCAB + 17] = f32::NAN;
    let some = |ids: &[u32]| Some(ids.iter().copied().collect::<TokenSet>());
    let odd: TokenSet = (0..VOCAB as u32).filter(|id| id % 2 == 1).collect();
    let sets = [some(&[0, 9004]), some(&[4000]), some(&[]), Some(odd), some(&[1, 2]), None];
    for draw in [None, draw(0.3, 0.9, 0.7), draw(100.0, 1.0, 0.999)] {
        let choices = sets.each_ref().map(|among| Choice { among: among.clone(), draw });
        let got = chosen(&bench, &scores, &choices);
        assert_eq!(got, expected(&scores, &choices));
        assert!([0, 9004].contains(&got[0]) && got[1..3] == [4000, -1] && got[3] % 2 == 1 && got[4] == -1);
    }
}

fn draws_are_the_cpus<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    // As steep as a model's scores: few tokens weigh anything.
    let steep: Vec<f32> = numbers(VOCAB, 3).into_iter().map(|number| 12.0 * number * number).collect();
    let mut choices = vec![Choice::default()];
    for (temperature, top_p) in [(1.0, 1.0), (1.0, 0.9), (0.7, 0.95), (0.2, 0.5), (1e-30, 1.0), (1.5, 0.0)] {
        for uniform in [0.0, 0.25, 0.731, 1.0 - f32::EPSILON / 2.0] {
            choices.push(Choice { among: None, draw: draw(temperature, top_p, uniform) });
        }
    }
    let scores = steep.repeat(choices.len());
    let got = chosen(&bench, &scores, &choices);
    assert_eq!(got, expected(&scores, &choices));
    let different: std::collections::BTreeSet<_> = got.iter().collect();
    assert!(different.len() > 10, "{got:?}");
}

fn flat_scores_and_equals_are_drawn_as_on_the_cpu<G: Gpu>(open: impl Fn() -> G) {
    let bench = Bench::new(open(), NARROW);
    let stairs: Vec<f32> = (0..VOCAB).map(|id| (id % 7) as f32).collect();
    let scores = [vec![2.5; VOCAB], stairs].concat();
    for (top_p, uniform) in [(1.0, 0.5), (0.5, 0.5), (0.8, 0.99), (0.0, 0.3)] {
        let choices = vec![Choice { among: None, draw: draw(1.0, top_p, uniform) }; 2];
        let got = chosen(&bench, &scores, &choices);
        assert_eq!(got, expected(&scores, &choices));
        // All are equal, so all are kept.
        assert_eq!(got[0], (uniform * VOCAB as f32) as i32);
    }
}
