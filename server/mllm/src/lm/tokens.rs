//! Sets of tokens.

/// Tokens of a vocabulary, a bit for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSet(Vec<u32>);

impl TokenSet {
    /// From bits, the lowest of each word first.
    pub(crate) fn of_words(words: Vec<u32>) -> Self {
        Self(words)
    }

    /// The bits; those beyond them are not set.
    pub(crate) fn words(&self) -> &[u32] {
        &self.0
    }

    /// Whether a token is in it.
    #[must_use]
    pub fn has(&self, id: u32) -> bool {
        self.0.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
    }

    /// Adds a token.
    pub fn insert(&mut self, id: u32) {
        let word = id as usize / 32;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (id % 32);
    }
}

impl FromIterator<u32> for TokenSet {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let set: TokenSet = [0, 31, 32, 100].into_iter().collect();
        let has: Vec<u32> = (0..200).filter(|id| set.has(*id)).collect();
        assert_eq!(has, [0, 31, 32, 100]);
        assert!(!set.has(u32::MAX));
        assert_eq!(set.words().len(), 4);
    }
}
