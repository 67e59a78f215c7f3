//! Which keys a query may look at.

use candle_core::{Result, bail};

/// Which keys a query may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttentionMask {
    /// Query `i` sees keys `0..=offset + i`; `offset` is the length of the cache before the first query.
    Causal {
        /// Keys before the first query's own.
        offset: usize,
    },
    /// Block-diagonal: the tokens are cut at these cumulative lengths (`[0, n1, n1 + n2, ..]`, the last is the number
    /// of tokens) and see only their own segment.
    Segments(Vec<usize>),
}

impl AttentionMask {
    /// The keys that query `row` may look at: from, to.
    pub(super) fn span(&self, row: usize) -> (usize, usize) {
        match self {
            Self::Causal { offset } => (0, offset + row + 1),
            Self::Segments(bounds) => {
                let next = bounds.partition_point(|&bound| bound <= row);
                (bounds[next - 1], bounds[next])
            }
        }
    }

    /// Checks that [`Self::span`] is defined for all queries and stays inside the keys.
    pub(super) fn check(&self, queries: usize, keys: usize) -> Result<()> {
        match self {
            Self::Causal { offset } if offset + queries <= keys => Ok(()),
            Self::Causal { offset } => bail!("{queries} queries after {offset} keys, but only {keys} keys"),
            Self::Segments(bounds) => {
                let whole = bounds.first() == Some(&0) && bounds.last() == Some(&queries) && queries == keys;
                if !whole || bounds.windows(2).any(|pair| pair[0] > pair[1]) {
                    bail!("segments {bounds:?} do not cut {queries} queries and {keys} keys");
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_what_does_not_fit() {
        let causal = AttentionMask::Causal { offset: 3 };
        assert_eq!(causal.span(0), (0, 4));
        assert!(causal.check(2, 5).is_ok());
        assert!(causal.check(3, 5).is_err());
        let segments = AttentionMask::Segments(vec![0, 2, 2, 5]);
        assert_eq!([segments.span(1), segments.span(2), segments.span(4)], [(0, 2), (2, 5), (2, 5)]);
        assert!(segments.check(5, 5).is_ok());
        assert!(segments.check(6, 6).is_err());
        assert!(AttentionMask::Segments(vec![0, 4, 2, 5]).check(5, 5).is_err());
        assert!(AttentionMask::Segments(vec![]).check(0, 0).is_err());
    }
}
