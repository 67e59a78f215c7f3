//! The caches of recent conversations and pictures.

use std::ops::Range;

use candle_core::Tensor;
use loupe_shared::pixels::Rgb8;

use crate::chat::Encoded;
use crate::model::{KvCache, Qwen2_5Vl};

/// Conversations that are remembered.
const CONVERSATIONS: usize = 8;
/// Tokens that all remembered conversations may have together.
const TOKENS: usize = 32_768;
/// Tokens that all remembered pictures may have together, the latest one aside.
const PICTURE_TOKENS: usize = 16_384;
/// A remembered conversation is cut back rather than copied when it loses no more than this.
const SPARE_TOKENS: usize = 64;

/// Content hash of a picture's size and pixels.
pub(super) type PictureHash = blake3::Hash;

/// Hashes a picture.
pub(super) fn hash(picture: &Rgb8) -> PictureHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&picture.width().to_le_bytes());
    hasher.update(&picture.height().to_le_bytes());
    hasher.update(picture.data());
    hasher.finalize()
}

/// What a cache was computed from. Picture tokens are equal only where the pictures are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) ids: Vec<u32>,
    pub(super) pictures: Vec<(Range<usize>, PictureHash)>,
}

impl Key {
    pub(super) fn of(encoded: &Encoded) -> Self {
        let picture = |p: &crate::chat::EncodedPicture| (p.tokens.clone(), hash(&p.pixels));
        Self { ids: encoded.ids.clone(), pictures: encoded.pictures.iter().map(picture).collect() }
    }

    /// Tokens from the start that both have in common.
    fn common(&self, other: &Self) -> usize {
        let ids = self.ids.iter().zip(&other.ids).take_while(|(a, b)| a == b).count();
        let differing = self.pictures.iter().zip(&other.pictures).find(|(a, b)| a != b);
        differing.map_or(ids, |(a, b)| ids.min(a.0.start).min(b.0.start))
    }
}

/// A conversation as far as it was decoded.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) cache: KvCache,
    pub(super) key: Key,
}

/// Recent conversations and pictures, the latest last.
#[derive(Debug, Default)]
pub(super) struct Memory {
    conversations: Vec<Conversation>,
    pictures: Vec<(PictureHash, Tensor)>,
}

impl Memory {
    /// A cache that holds as much of `key` as any remembered conversation shares with it, at most all but one token:
    /// the last one has to be run to give scores.
    pub(super) fn resume(&mut self, model: &Qwen2_5Vl, key: &Key) -> candle_core::Result<KvCache> {
        let most = key.ids.len().saturating_sub(1);
        let shared = |kept: &Conversation| kept.key.common(key).min(kept.cache.len()).min(most);
        let best = self.conversations.iter().map(shared).enumerate().max_by_key(|(_, shared)| *shared);
        let Some((index, shared)) = best.filter(|(_, shared)| *shared > 0) else {
            return Ok(model.new_cache());
        };
        if self.conversations[index].cache.len() - shared > SPARE_TOKENS {
            return self.conversations[index].cache.fork(shared);
        }
        let mut cache = self.conversations.remove(index).cache;
        cache.truncate(shared);
        Ok(cache)
    }

    /// Remembers a conversation and forgets the oldest ones beyond the limits.
    pub(super) fn keep(&mut self, mut conversation: Conversation) {
        conversation.key.ids.truncate(conversation.cache.len());
        conversation.key.pictures.retain(|(tokens, _)| tokens.start < conversation.cache.len());
        self.conversations.push(conversation);
        let mut tokens = 0;
        let fitting = self.conversations.iter().rev().take(CONVERSATIONS).take_while(|kept| {
            tokens += kept.cache.len();
            tokens <= TOKENS
        });
        let forgotten = self.conversations.len() - fitting.count();
        self.conversations.drain(..forgotten);
    }

    /// The embedding of a picture, from memory or computed now.
    pub(super) fn picture<E>(
        &mut self,
        hash: PictureHash,
        compute: impl FnOnce() -> Result<Tensor, E>,
    ) -> Result<Tensor, E> {
        let known = self.pictures.iter().position(|(known, _)| *known == hash);
        let embedding = match known {
            Some(index) => self.pictures.remove(index).1,
            None => compute()?,
        };
        self.pictures.push((hash, embedding.clone()));
        let mut tokens = 0;
        let fitting = self.pictures.iter().rev().take_while(|(_, kept)| {
            let first = tokens == 0;
            tokens += kept.dims().first().copied().unwrap_or_default();
            first || tokens <= PICTURE_TOKENS
        });
        let forgotten = self.pictures.len() - fitting.count();
        self.pictures.drain(..forgotten);
        Ok(embedding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ids: &[u32], picture: &[u8]) -> Key {
        Key { ids: ids.to_vec(), pictures: vec![(2..4, blake3::hash(picture))] }
    }

    #[test]
    fn pictures_are_computed_once_and_the_oldest_forgotten() {
        let mut memory = Memory::default();
        let rows = PICTURE_TOKENS / 2;
        let embed = || Tensor::zeros((rows, 1), candle_core::DType::F32, &candle_core::Device::Cpu);
        let mut computed = 0;
        for name in ["a", "b", "a", "c", "a", "b"] {
            let seen = memory.picture(blake3::hash(name.as_bytes()), || {
                computed += 1;
                embed()
            });
            assert_eq!(seen.unwrap().dims(), [rows, 1]);
        }
        // b was the older one when c came.
        assert_eq!((computed, memory.pictures.len()), (4, 2));
    }

    #[test]
    fn another_picture_under_the_same_tokens_is_not_shared() {
        let first = key(&[1, 2, 9, 9, 3, 4], b"cat");
        assert_eq!(first.common(&key(&[1, 2, 9, 9, 3, 5], b"cat")), 5);
        assert_eq!(first.common(&key(&[1, 2, 9, 9, 3, 4], b"dog")), 2);
        assert_eq!(first.common(&Key { ids: vec![1, 2, 9, 9], pictures: Vec::new() }), 4);
    }
}
