//! Drafts from the prompt (prompt lookup decoding, Saxena 2023): answers quote what was searched, so what followed the
//! last two tokens where they stood before is a good guess. A guess is run together with the token that is due, and
//! kept as far as the model would have written the same.

use std::collections::HashMap;

use crate::lm::{FEW_QUERIES, FEW_ROWS};

/// Tokens of a step up to which a token's scores do not depend on how many there are, so that drafts change nothing.
pub(super) const STEP: usize = FEW_ROWS;
/// Most tokens of a draft; with the token that is due, what attention computes query by query.
const LONGEST: usize = FEW_QUERIES - 1;
/// Part of the drafted tokens that has to be right for drafts to go on.
const WORTH: f32 = 0.25;
/// How much the last draft counts in that part.
const MEMORY: f32 = 0.2;
/// Tokens that are written without drafts once they have been wrong too often.
const PAUSE: usize = 32;

/// How much the last step counts in the time of a token.
const STEP_WEIGHT: f32 = 0.1;
/// Of so many steps, one is run the way that has been slower, to see whether it still is.
const TRY_AGAIN: u32 = 48;

/// Whether drafts are worth their rows on this machine with this model: where a step of eight rows takes more than
/// twice as long as one of a single row, they have to be right more often.
#[derive(Debug, Default)]
pub(super) struct Gain {
    /// Seconds a token, in steps without drafts and with them.
    seconds: [Option<f32>; 2],
    steps: u32,
}

impl Gain {
    /// Whether the next step should draft.
    pub(super) fn drafts(&mut self) -> bool {
        self.steps = self.steps.wrapping_add(1);
        let [Some(plain), Some(drafted)] = self.seconds else { return self.steps.is_multiple_of(2) };
        (drafted < plain) != self.steps.is_multiple_of(TRY_AGAIN)
    }

    /// Notes a step in which everybody wrote.
    pub(super) fn note(&mut self, drafted: bool, tokens: usize, seconds: f32) {
        let token = seconds / tokens.max(1) as f32;
        let known = &mut self.seconds[usize::from(drafted)];
        *known = Some(known.map_or(token, |known| known + STEP_WEIGHT * (token - known)));
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

    #[test]
    fn the_faster_way_is_taken_and_the_other_tried_now_and_then() {
        for (drafted_seconds, share) in [(0.4, 90..100), (2.0, 0..10)] {
            let mut gain = Gain::default();
            let mut drafted = 0;
            for step in 0..200 {
                let drafts = gain.drafts();
                gain.note(drafts, 2, if drafts { 2.0 * drafted_seconds } else { 2.0 });
                drafted += usize::from(drafts && step >= 100);
            }
            assert!(share.contains(&drafted), "{drafted} of 100 steps");
            assert!((1..100).contains(&drafted), "both ways are tried");
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
