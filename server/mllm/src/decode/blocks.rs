//! Which blocks of keys and values are whose, and what they hold.
//!
//! A full block is known by the hash of everything up to its end, so a conversation that begins as another one did takes
//! over its blocks instead of computing them (as vLLM's prefix caching does). Blocks that nobody uses stay known until
//! their memory is wanted; the one that was left longest ago goes first.

use std::collections::{BTreeMap, HashMap};

use super::pictures::PictureHash;
use crate::chat::Encoded;
use crate::lm::{BLOCK, BlockId, lora::LoraId};

/// What a block and all before it hold: the hash of the adapter, token ids and pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BlockKey([u8; 16]);

impl BlockKey {
    /// The keys of all full blocks of a sequence. Picture tokens are equal only where the pictures are; the same tokens
    /// have other keys and values under another adapter.
    pub(super) fn of(
        ids: &[u32],
        encoded: &Encoded,
        hashes: &[PictureHash],
        adapter: Option<LoraId>,
    ) -> Vec<Self> {
        let mut keys = Vec::with_capacity(ids.len() / BLOCK);
        Self::extend(&mut keys, ids, encoded, hashes, adapter);
        keys
    }

    /// Adds the keys of the full blocks after those of `keys`.
    pub(super) fn extend(
        keys: &mut Vec<Self>,
        ids: &[u32],
        encoded: &Encoded,
        hashes: &[PictureHash],
        adapter: Option<LoraId>,
    ) {
        for (number, block) in ids.chunks_exact(BLOCK).enumerate().skip(keys.len()) {
            let mut hasher = blake3::Hasher::new();
            match number.checked_sub(1).and_then(|before| keys.get(before)) {
                Some(Self(before)) => hasher.update(before),
                None => hasher.update(adapter.as_ref().map_or(&[][..], |adapter| adapter.as_bytes())),
            };
            for id in block {
                hasher.update(&id.to_le_bytes());
            }
            let tokens = number * BLOCK..(number + 1) * BLOCK;
            for (picture, hash) in encoded.pictures.iter().zip(hashes) {
                if picture.tokens.start < tokens.end && tokens.start < picture.tokens.end {
                    hasher.update(hash.as_bytes());
                }
            }
            let mut key = [0; 16];
            hasher.finalize_xof().fill(&mut key);
            keys.push(Self(key));
        }
    }
}

/// The blocks of a pool.
#[derive(Debug)]
pub(super) struct Blocks {
    /// How many sequences use each block.
    users: Vec<u32>,
    keys: Vec<Option<BlockKey>>,
    known: HashMap<BlockKey, BlockId>,
    /// Blocks without content that anybody could want.
    free: Vec<BlockId>,
    /// Known blocks that nobody uses, by when they were left.
    idle: BTreeMap<u64, BlockId>,
    /// When each idle block was left.
    left_at: HashMap<BlockId, u64>,
    clock: u64,
}

impl Blocks {
    pub(super) fn new(count: usize) -> Self {
        Self {
            users: vec![0; count],
            keys: vec![None; count],
            known: HashMap::new(),
            free: (0..count as u32).rev().map(BlockId::new).collect(),
            idle: BTreeMap::new(),
            left_at: HashMap::new(),
            clock: 0,
        }
    }

    /// All blocks.
    pub(super) fn count(&self) -> usize {
        self.users.len()
    }

    /// Blocks that can be taken.
    pub(super) fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// Blocks whose content is known and that nobody uses.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many blocks of the longest beginning of `keys` are known.
    pub(super) fn known(&self, keys: &[BlockKey]) -> usize {
        keys.iter().take_while(|key| self.known.contains_key(key)).count()
    }

    /// The known blocks of the longest beginning of `keys`, taken for one more user.
    pub(super) fn share(&mut self, keys: &[BlockKey]) -> Vec<BlockId> {
        let known: Vec<BlockId> = keys.iter().map_while(|key| self.known.get(key).copied()).collect();
        for block in &known {
            self.users[block.index()] += 1;
            if let Some(at) = self.left_at.remove(block) {
                self.idle.remove(&at);
            }
        }
        known
    }

    /// A block for new content; none when all are in use.
    pub(super) fn take(&mut self) -> Option<BlockId> {
        let block = match self.free.pop() {
            Some(block) => block,
            None => {
                let (_, block) = self.idle.pop_first()?;
                self.left_at.remove(&block);
                self.unlearn(block);
                block
            }
        };
        self.users[block.index()] = 1;
        Some(block)
    }

    /// Notes what a block that has become full holds. Where another block holds the same, that one stays known.
    pub(super) fn know(&mut self, block: BlockId, key: BlockKey) {
        if self.keys[block.index()].is_none() && !self.known.contains_key(&key) {
            self.keys[block.index()] = Some(key);
            self.known.insert(key, block);
        }
    }

    /// Gives up a sequence's blocks, the last one first: beginnings are wanted longest.
    pub(super) fn release(&mut self, blocks: &[BlockId]) {
        for block in blocks.iter().rev() {
            let users = &mut self.users[block.index()];
            *users -= 1;
            if *users > 0 {
                continue;
            }
            if self.keys[block.index()].is_none() {
                self.free.push(*block);
                continue;
            }
            self.clock += 1;
            self.idle.insert(self.clock, *block);
            self.left_at.insert(*block, self.clock);
        }
    }

    /// Makes the content of blocks unknown, so that nobody else takes them over; whoever uses them goes on.
    pub(super) fn forget(&mut self, blocks: &[BlockId]) {
        blocks.iter().for_each(|block| self.unlearn(*block));
    }

    fn unlearn(&mut self, block: BlockId) {
        if let Some(key) = self.keys[block.index()].take() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use loupe_shared::pixels::Rgb8;
    use proptest::prelude::*;

    use super::*;
    use crate::chat::EncodedPicture;
    use crate::model::Grid;

    fn keys(ids: &[u32]) -> Vec<BlockKey> {
        BlockKey::of(ids, &Encoded::default(), &[], None)
    }

    fn ids(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    /// Blocks for a sequence, known as it is computed.
    fn compute(blocks: &mut Blocks, keys: &[BlockKey]) -> Vec<BlockId> {
        let mut held = blocks.share(keys);
        for key in &keys[held.len()..] {
            let block = blocks.take().expect("a block is free");
            blocks.know(block, *key);
            held.push(block);
        }
        held
    }

    #[test]
    fn the_same_beginning_is_shared_and_another_is_not() {
        let mut blocks = Blocks::new(8);
        let first = keys(&ids(40));
        assert_eq!(first.len(), 2, "only full blocks have a key");
        let held = compute(&mut blocks, &first);
        blocks.release(&held);
        assert_eq!(blocks.available(), 8);
        let mut longer = ids(64);
        longer[60] = 999;
        assert_eq!(blocks.known(&keys(&longer)), 2);
        assert_eq!(blocks.share(&keys(&longer)), held, "two blocks of four are known");
        let mut other = ids(40);
        other[0] = 999;
        assert!(blocks.share(&keys(&other)).is_empty(), "a key covers everything before its block");
        assert_eq!(blocks.available(), 6);
    }

    #[test]
    fn another_picture_under_the_same_tokens_is_not_shared() {
        let pixels = Arc::new(Rgb8::new(1, 1, vec![0; 3]).unwrap());
        let picture = EncodedPicture { pixels, grid: Grid { rows: 2, columns: 2 }, tokens: 20..24 };
        let encoded = Encoded { pictures: vec![picture], ..Encoded::default() };
        let of = |name: &[u8]| BlockKey::of(&ids(48), &encoded, &[blake3::hash(name)], None);
        let (cat, dog) = (of(b"cat"), of(b"dog"));
        assert_eq!(cat[0], dog[0], "before the picture");
        assert_ne!(cat[1], dog[1]);
        assert_ne!(cat[2], dog[2], "and everything after it");
        assert_eq!(cat, of(b"cat"));
    }

    #[test]
    fn what_was_left_longest_ago_goes_first_and_beginnings_stay() {
        let mut blocks = Blocks::new(4);
        let (a, b) = (keys(&ids(32)), keys(&(100..132).collect::<Vec<_>>()));
        for keys in [&a, &b] {
            let held = compute(&mut blocks, keys);
            blocks.release(&held);
        }
        blocks.take().expect("the end of a");
        let shared = blocks.share(&a);
        assert_eq!(shared.len(), 1);
        assert_eq!(blocks.share(&b).len(), 2);
        assert!(blocks.take().is_none(), "everything is in use");
    }

    proptest! {
        /// Whatever is taken and released in whatever order, no block is lost and none has two contents.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec((0usize..6, 0u32..4, 1u32..5), 1..60)) {
            let mut blocks = Blocks::new(12);
            let mut held: Vec<Vec<BlockId>> = Vec::new();
            for (step, start, length) in steps {
                let content: Vec<u32> = (start * 7..start * 7 + length * BLOCK as u32).collect();
                let keys = keys(&content);
                if step < 4 && blocks.available() >= keys.len() {
                    held.push(compute(&mut blocks, &keys));
                } else if !held.is_empty() {
                    let gone = held.swap_remove(step % held.len());
                    blocks.release(&gone);
                }
                let used: std::collections::HashSet<BlockId> = held.iter().flatten().copied().collect();
                prop_assert_eq!(used.len() + blocks.available(), 12);
                prop_assert_eq!(blocks.idle.len(), blocks.left_at.len());
            }
            for gone in held {
                blocks.release(&gone);
            }
            prop_assert_eq!(blocks.available(), 12);
        }
    }
}
