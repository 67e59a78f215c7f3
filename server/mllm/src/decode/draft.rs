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
