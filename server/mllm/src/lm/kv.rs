//! Keys and values in blocks, so that sequences with the same beginning share them.

use crate::config::TextConfig;

/// Tokens of a block.
pub const BLOCK: usize = 16;

/// A block of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(u32);

impl BlockId {
    /// The block at a place of the pool.
    #[must_use]
    pub fn new(index: u32) -> Self {
        Self(index)
    }

    /// Its place.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The memory of all blocks. A block holds, for every layer and key head, `[BLOCK, head width]` keys and as many
/// values.
#[derive(Debug)]
pub struct KvPool {
    blocks: usize,
    kv_heads: usize,
    head_dim: usize,
    layers: Vec<Planes>,
}

/// Keys and values of a layer: `[blocks, kv heads, BLOCK, head width]`.
#[derive(Debug)]
struct Planes {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvPool {
    pub(super) fn new(config: &TextConfig, blocks: usize) -> Self {
        let size = blocks * BLOCK * config.kv_size();
        // Zeroed memory comes from the system as it is touched.
        let planes = |_| Planes { keys: vec![0.0; size], values: vec![0.0; size] };
        Self {
            blocks,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim(),
            layers: (0..config.layers).map(planes).collect(),
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(config: &TextConfig) -> usize {
        2 * config.layers * BLOCK * config.kv_size() * size_of::<f32>()
    }

    /// Blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    pub(super) fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    pub(super) fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Writes a token's keys and values `[kv heads, head width]` of a layer into place `slot` of a block.
    pub(super) fn write(&mut self, layer: usize, block: BlockId, slot: usize, keys: &[f32], values: &[f32]) {
        let width = self.head_dim;
        for head in 0..self.kv_heads {
            let at = self.start(block, head) + slot * width;
            let planes = &mut self.layers[layer];
            planes.keys[at..at + width].copy_from_slice(&keys[head * width..(head + 1) * width]);
            planes.values[at..at + width].copy_from_slice(&values[head * width..(head + 1) * width]);
        }
    }

    /// Keys `[BLOCK, head width]` of a head in a block.
    pub(super) fn keys(&self, layer: usize, block: BlockId, head: usize) -> &[f32] {
        let at = self.start(block, head);
        &self.layers[layer].keys[at..at + BLOCK * self.head_dim]
    }

    /// Values `[BLOCK, head width]` of a head in a block.
    pub(super) fn values(&self, layer: usize, block: BlockId, head: usize) -> &[f32] {
        let at = self.start(block, head);
        &self.layers[layer].values[at..at + BLOCK * self.head_dim]
    }

    fn start(&self, block: BlockId, head: usize) -> usize {
        (block.index() * self.kv_heads + head) * BLOCK * self.head_dim
    }
}
