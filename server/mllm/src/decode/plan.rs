//! How a step's tokens are shared out.

/// Tokens of a step where nobody waits for the next word: bounds memory and the wait for a cancellation.
pub(crate) const ALONE: usize = 512;
/// Tokens of a step that sequences in the middle of their turn take part in: a long prompt must not stall them.
const SHARED: usize = 128;

/// For sequences that lack `lacking[i]` tokens each, in the order in which they were admitted: how many tokens of each
/// run in the next step. One that lacks a single token is in the middle of its turn and always runs; the others share
/// what is left, the oldest first.
pub(super) fn share(lacking: &[usize]) -> Vec<usize> {
    let writing = lacking.iter().filter(|lacks| **lacks == 1).count();
    let budget = if writing > 0 { SHARED } else { ALONE };
    let mut left = budget.saturating_sub(writing);
    let part = |lacks: &usize| match lacks {
        0 | 1 => *lacks,
        _ => {
            let part = left.min(*lacks);
            left -= part;
            part
        }
    };
    lacking.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_alone_runs_in_large_parts() {
        assert_eq!(share(&[2000]), [ALONE]);
        assert_eq!(share(&[300, 2000, 5]), [300, 212, 0]);
    }

    #[test]
    fn those_who_write_never_wait_for_a_prompt() {
        assert_eq!(share(&[2000, 1, 1]), [126, 1, 1]);
        let mut many = vec![1; 200];
        many.insert(0, 2000);
        let parts = share(&many);
        assert_eq!(parts[0], 0);
        assert!(parts[1..].iter().all(|part| *part == 1));
    }
}
