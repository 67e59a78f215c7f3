//! How a step's tokens are shared out.

use super::pace::{LEAST, Pace};

/// For sequences that lack `lacking[i]` tokens each, in the order in which they were admitted: how many tokens of each
/// run in the next step. One that lacks a single token is in the middle of its turn and always runs. Prompts share what
/// the pace leaves, but never nothing: the oldest has half of it, so that it comes to its end, the rest goes to the
/// shortest first, so that a short question does not wait for a long one. A step is short where somebody writes, or
/// comes to its first token beside others.
pub(super) fn share(lacking: &[usize], pace: &Pace) -> Vec<usize> {
    let mut parts: Vec<usize> = lacking.iter().map(|lacks| usize::from(*lacks == 1)).collect();
    let writing = parts.iter().sum::<usize>();
    let mut prompts: Vec<usize> = (0..lacking.len()).filter(|at| lacking[*at] > 1).collect();
    let Some(oldest) = prompts.first().copied() else { return parts };
    let ends = |at: &usize| lacking[*at] <= pace.tokens(true) / 2;
    let is_awaited = writing > 0 || (prompts.len() > 1 && prompts.iter().any(ends));
    let mut left = pace.tokens(is_awaited).saturating_sub(writing).max(LEAST);
    let half = left.div_ceil(2);
    let mut give = |at: usize, most: usize| {
        let part = most.min(left).min(lacking[at] - parts[at]);
        parts[at] += part;
        left -= part;
    };
    give(oldest, half);
    prompts.sort_by_key(|at| lacking[*at]);
    for at in prompts {
        give(at, usize::MAX);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::pace::MOST;
    use super::*;

    /// A pace of `MOST` tokens a step where nobody writes, and of 64 where somebody does.
    fn pace() -> Pace {
        let mut pace = Pace::default();
        pace.note(1280, 1.0);
        pace
    }

    #[test]
    fn a_prompt_alone_runs_in_large_parts() {
        assert_eq!(share(&[2000], &pace()), [MOST]);
        assert_eq!(share(&[300], &pace()), [300]);
        assert_eq!(share(&[], &pace()), [0; 0]);
    }

    #[test]
    fn short_prompts_overtake_long_ones_which_go_on_all_the_same() {
        assert_eq!(
            share(&[2000, 5], &pace()),
            [59, 5],
            "the short one's first word is not to wait for a long step"
        );
        assert_eq!(share(&[2000, 40], &pace()), [472, 40]);
        assert_eq!(share(&[2000, 1500, 600], &pace()), [256, 0, 256]);
        // Of equals the oldest comes first.
        assert_eq!(share(&[2000, 2000], &pace()), [512, 0]);
    }

    #[test]
    fn those_who_write_never_wait_for_a_prompt_nor_it_for_them() {
        assert_eq!(share(&[2000, 1, 1], &pace()), [62, 1, 1]);
        let mut many = vec![1; 200];
        many.insert(0, 2000);
        let parts = share(&many, &pace());
        assert_eq!(parts[0], LEAST);
        assert!(parts[1..].iter().all(|part| *part == 1));
    }
}
