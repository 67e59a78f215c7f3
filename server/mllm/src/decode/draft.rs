//! What may come next, guessed: a guess is run together with the token that is due, and kept as far as the model would have
//! written the same.
//!
//! Two ways to guess: from the prompt (prompt lookup decoding, Saxena 2023), for answers quote what was searched, so what
//! followed the last two tokens where they stood before is a good guess; and by the drafter, the same weights in fewer bits,
//! which write a token in less time (speculative decoding, Leviathan et al. 2023). Either costs time where it is wrong, so
//! both are measured.

use std::collections::HashMap;

use crate::lm::{FEW_QUERIES, FEW_ROWS};

/// Tokens of a step up to which a token's scores do not depend on how many there are, so that drafts change nothing.
pub(super) const STEP: usize = FEW_ROWS;
/// Most turns of a step that may draft.
pub(super) const WRITERS: usize = STEP / 2;
/// Most tokens of a draft; with the token that is due, what attention computes query by query.
const LONGEST: usize = FEW_QUERIES - 1;
/// Most tokens that the drafter guesses: it takes a step for each, and each is right only if all before it are.
pub const DEEPEST: usize = 4;
/// Part of the drafted tokens that has to be right for drafts to go on.
const WORTH: f32 = 0.25;
/// How much the last draft counts in that part.
const MEMORY: f32 = 0.2;
/// Tokens that are written without drafts once they have been wrong too often.
const PAUSE: usize = 32;

/// How much the last step counts in the time of a token.
const STEP_WEIGHT: f32 = 0.1;
/// Steps of a kind after which its time is known.
const TRIALS: u32 = 4;
/// Steps that another way than the fastest is tried for, at a time.
const TRIAL: u32 = 8;
/// Steps of a way in a row that come before those which count: they pay for what others left in the caches.
const SETTLING: u32 = 4;
/// How many times faster drafts have to be than none: beside what is measured they take memory's time and caches from all.
const AT_LEAST: f32 = 1.1;
/// Part of all time that may be lost by trying whether other ways than the fastest still are slower.
const TRYING: f32 = 0.01;

/// How the drafts of a step came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// From what was read.
    Prompt,
    /// So many tokens by the drafter; 0 where nothing is guessed.
    Drafter(usize),
}

impl Way {
    /// The `at`th of a gain's rates.
    fn of(at: usize) -> Self {
        at.checked_sub(1).map_or(Self::Prompt, Self::Drafter)
    }

    /// Its place among a gain's rates.
    fn at(self) -> usize {
        match self {
            Self::Prompt => 0,
            Self::Drafter(depth) => 1 + depth,
        }
    }
}

/// Tokens that are run with the one that is due, because they may come next.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) tokens: Vec<u32>,
    pub(super) is_from_prompt: bool,
}

/// What steps of a kind take and give, the latest counting most.
#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    seconds: f32,
    tokens: f32,
    steps: u32,
}

impl Rate {
    fn note(&mut self, tokens: usize, seconds: f32) {
        self.steps = self.steps.saturating_add(1);
        let weight = (1.0 / self.steps as f32).max(STEP_WEIGHT);
        self.seconds += weight * (seconds - self.seconds);
        self.tokens += weight * (tokens as f32 - self.tokens);
    }

    /// Seconds a token, once known.
    fn token(&self) -> Option<f32> {
        (self.steps >= TRIALS).then(|| self.seconds / self.tokens.max(f32::MIN_POSITIVE))
    }

    /// Seconds that a step loses where its tokens could be had for `token` seconds each.
    fn loss(&self, token: f32) -> f32 {
        self.seconds - self.tokens * token
    }
}

/// Which drafts are worth their time on this machine with this model, for steps of some number of turns: a step of many
/// rows may take much longer than one of a single row, and a wrong guess gives nothing.
#[derive(Debug)]
pub(super) struct Gain {
    /// Drafts from the prompt first, then by how many tokens the drafter guesses.
    rates: Vec<Rate>,
    /// Seconds that may be lost by trying.
    credit: f32,
    /// Which way is tried, or will be next.
    next: usize,
    /// Steps for which it still is.
    trial: u32,
    /// How the last step came about.
    last: Option<Way>,
    /// Steps before it that came about so, one after the other.
    in_a_row: u32,
}

impl Gain {
    /// Nothing is known yet of steps of `writers` turns.
    pub(super) fn new(writers: usize, has_drafter: bool) -> Self {
        let deepest = if has_drafter { DEEPEST.min(STEP / writers - 1) } else { 0 };
        Self {
            rates: vec![Rate::default(); 2 + deepest],
            credit: 0.0,
            next: 0,
            trial: 0,
            last: None,
            in_a_row: 0,
        }
    }

    /// How the next step should draft.
    pub(super) fn way(&mut self) -> Way {
        let (fastest, token) = self.fastest(0);
        if self.trial == 0 {
            if TRIAL as f32 * self.rates[self.next].loss(token) > self.credit {
                return Way::of(fastest);
            }
            self.trial = TRIAL;
        }
        self.trial -= 1;
        let tried = Way::of(self.next);
        if self.trial == 0 {
            self.next = (self.next + 1) % self.rates.len();
        }
        tried
    }

    /// How many tokens the drafter should guess where nothing can be drafted from the prompt.
    pub(super) fn depth(&self) -> usize {
        self.fastest(1).0 - 1
    }

    /// The way from the `first` on that pays most, with its seconds a token. One that is not known yet counts as the fastest.
    fn fastest(&self, first: usize) -> (usize, f32) {
        let handicapped = |&(at, token): &(usize, f32)| {
            if Way::of(at) == Way::Drafter(0) { token } else { AT_LEAST * token }
        };
        let all = self.rates.iter().map(|rate| rate.token().unwrap_or(0.0)).enumerate().skip(first);
        all.min_by(|one, other| handicapped(one).total_cmp(&handicapped(other))).unwrap_or((first, 0.0))
    }

    /// Notes a step in which everybody wrote, with the time that its drafts took.
    pub(super) fn note(&mut self, way: Way, tokens: usize, seconds: f32) {
        let (fastest, token) = self.fastest(0);
        let Some(rate) = self.rates.get_mut(way.at()) else { return };
        let is_trial = rate.steps >= TRIALS && way.at() != fastest;
        self.in_a_row = if self.last.replace(way) == Some(way) { self.in_a_row.saturating_add(1) } else { 0 };
        // Prompts seldom have two drafts in a row.
        if self.in_a_row >= SETTLING || way == Way::Prompt {
            rate.note(tokens, seconds);
        }
        let lost = if is_trial { (seconds - tokens as f32 * token).max(0.0) } else { 0.0 };
        self.credit += TRYING * seconds - lost;
    }
}

/// Where pairs of tokens stood.
#[derive(Debug)]
pub(super) struct Lookup {
    /// What came after the last place of each pair.
    after: HashMap<[u32; 2], usize>,
    indexed: usize,
    right: f32,
    paused_until: usize,
}

impl Lookup {
    pub(super) fn new() -> Self {
        Self { after: HashMap::new(), indexed: 1, right: 1.0, paused_until: 0 }
    }

    /// What may come after `ids`, at most `most` tokens; often nothing.
    pub(super) fn propose(&mut self, ids: &[u32], most: usize) -> Vec<u32> {
        // The last pair itself must not be found.
        while self.indexed + 1 < ids.len() {
            self.after.insert([ids[self.indexed - 1], ids[self.indexed]], self.indexed + 1);
            self.indexed += 1;
        }
        if ids.len() < self.paused_until {
            return Vec::new();
        }
        let [.., first, second] = ids else { return Vec::new() };
        let Some(&from) = self.after.get(&[*first, *second]) else { return Vec::new() };
        ids[from..].iter().copied().take(most.min(LONGEST)).collect()
    }

    /// Notes how many of `drafted` tokens were right, when the sequence has `length` tokens.
    pub(super) fn learn(&mut self, drafted: usize, right: usize, length: usize) {
        if drafted == 0 {
            return;
        }
        self.right += MEMORY * (right as f32 / drafted as f32 - self.right);
        if self.right < WORTH {
            self.paused_until = length + PAUSE;
            // The next draft decides whether it was too early.
            self.right = WORTH;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_last_pair_is_proposed() {
        let mut lookup = Lookup::new();
        assert!(lookup.propose(&[], 7).is_empty());
        assert!(lookup.propose(&[5], 7).is_empty());
        assert!(lookup.propose(&[1, 2, 3, 4], 7).is_empty());
        assert_eq!(lookup.propose(&[1, 2, 3, 4, 1, 2], 7), [3, 4, 1, 2]);
        assert_eq!(lookup.propose(&[1, 2, 3, 4, 1, 2], 2), [3, 4]);
        // The latest place counts.
        assert_eq!(lookup.propose(&[1, 2, 3, 4, 1, 2, 9, 1, 2], 2), [9, 1]);
    }

    /// Of 1,000 steps after as many others, how many were run each way, where a draft from the prompt can always be had.
    fn chosen(mut gain: Gain, seconds: impl Fn(Way) -> f32) -> HashMap<Way, u32> {
        let mut ways = HashMap::new();
        for step in 0..2_000 {
            let way = gain.way();
            gain.note(way, 2, seconds(way));
            *ways.entry(way).or_default() += u32::from(step >= 1_000);
        }
        ways
    }

    #[test]
    fn the_fastest_way_is_taken_and_the_others_tried_now_and_then() {
        for fastest in [Way::Prompt, Way::Drafter(0), Way::Drafter(1), Way::Drafter(3)] {
            let ways = chosen(Gain::new(1, true), |way| if way == fastest { 0.8 } else { 1.0 });
            assert!(ways[&fastest] > 900, "{fastest:?}: {ways:?}");
            assert_eq!(ways.values().filter(|steps| **steps > 0).count(), 2 + DEEPEST, "{ways:?}");
        }
    }

    #[test]
    fn what_is_tried_costs_little_however_slow_it_is() {
        for slow in [1.2, 3.0, 50.0] {
            let of = |way| if way == Way::Drafter(1) { 1.0 } else { slow };
            let (mut gain, mut seconds) = (Gain::new(1, true), 0.0);
            for step in 0..4_000 {
                let way = gain.way();
                gain.note(way, 2, of(way));
                seconds += if step >= 100 { of(way) } else { 0.0 };
            }
            assert!(seconds < 3_900.0 * (1.0 + 1.5 * TRYING), "{slow}: {seconds}");
        }
    }

    #[test]
    fn a_way_is_not_blamed_for_what_others_leave_in_the_caches() {
        let (mut gain, mut last, mut plain) = (Gain::new(1, true), None, 0);
        for step in 0..2_000 {
            let way = gain.way();
            let seconds = if way == Way::Drafter(0) { 1.0 } else { 1.2 };
            gain.note(way, 2, if last.replace(way) == Some(way) { seconds } else { 2.0 * seconds });
            plain += u32::from(step >= 1_000 && way == Way::Drafter(0));
        }
        assert!(plain > 900, "{plain}");
    }

    #[test]
    fn where_the_prompt_has_no_draft_the_drafter_guesses_as_much_as_pays() {
        let mut gain = Gain::new(2, true);
        for _ in 0..200 {
            let depth = gain.depth();
            gain.note(Way::Drafter(depth), 2, if depth == 2 { 0.8 } else { 1.0 });
        }
        assert_eq!(gain.depth(), 2);
        assert_eq!(gain.way(), Way::Prompt, "which is not known yet");
    }

    #[test]
    fn without_a_drafter_only_the_prompt_is_tried() {
        for (seconds, most) in [([0.8, 1.0], Way::Prompt), ([1.0, 0.8], Way::Drafter(0))] {
            let ways = chosen(Gain::new(1, false), |way| seconds[usize::from(way != Way::Prompt)]);
            assert!(ways.len() == 2 && ways[&most] > 900, "{ways:?}");
        }
    }

    #[test]
    fn all_turns_of_a_step_together_have_few_tokens() {
        for writers in 1..=WRITERS {
            let deepest = Gain::new(writers, true).rates.len() - 2;
            assert!((1..=DEEPEST).contains(&deepest) && writers * (1 + deepest) <= STEP);
        }
    }

    #[test]
    fn drafts_pause_where_they_are_wrong_and_are_tried_again() {
        let mut lookup = Lookup::new();
        let ids = [7; 40];
        assert!(!lookup.propose(&ids, 7).is_empty());
        for _ in 0..8 {
            lookup.learn(7, 0, 40);
        }
        assert!(lookup.propose(&ids, 7).is_empty());
        assert!(!lookup.propose(&[7; 40 + PAUSE], 7).is_empty());
        lookup.learn(7, 7, 80);
        assert!(!lookup.propose(&[7; 81 + PAUSE], 7).is_empty());
    }
}
