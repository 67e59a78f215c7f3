//! Keys and values of what was decoded.

use candle_core::{DType, Result, Tensor};

/// Room is made for this many tokens at a time.
const STEP: usize = 256;

/// The keys and values of one conversation. Layers append during a forward pass; the tokens count once all have.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<Slot>>,
    len: usize,
}

/// Keys and values of a layer: `[batch, kv heads, capacity, head width]`, filled from the left, written in place.
#[derive(Debug)]
struct Slot {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    pub(super) fn new(layers: usize) -> Self {
        Self { layers: (0..layers).map(|_| None).collect(), len: 0 }
    }

    /// Tokens it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything after the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// An own copy of the first `len` tokens.
    ///
    /// # Errors
    /// When memory cannot be copied.
    pub fn fork(&self, len: usize) -> Result<Self> {
        let len = self.len.min(len);
        let copy = |slot: &Option<Slot>| slot.as_ref().map(|slot| slot.resized(len, len + STEP)).transpose();
        Ok(Self { layers: self.layers.iter().map(copy).collect::<Result<_>>()?, len })
    }

    /// Adds the keys and values `[batch, kv heads, t, head width]` of a layer and gives all of the layer's.
    pub(super) fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (from, added) = (self.len, keys.dim(2)?);
        let Some(slot) = self.layers.get_mut(layer) else {
            candle_core::bail!("the cache has no layer {layer}");
        };
        let needed = from + added;
        let slot = match slot.take() {
            Some(kept) if kept.keys.dim(2)? >= needed => slot.insert(kept),
            Some(kept) => slot.insert(kept.resized(from, (needed + STEP).max(from * 2))?),
            None => slot.insert(Slot::empty(keys, needed + STEP)?),
        };
        slot.keys.slice_set(&keys.detach().contiguous()?, 2, from)?;
        slot.values.slice_set(&values.detach().contiguous()?, 2, from)?;
        Ok((slot.keys.narrow(2, 0, needed)?, slot.values.narrow(2, 0, needed)?))
    }

    pub(super) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }
}

impl Slot {
    fn empty(like: &Tensor, capacity: usize) -> Result<Self> {
        let (batch, heads, _, width) = like.dims4()?;
        let zeros = || Tensor::zeros((batch, heads, capacity, width), DType::F32, like.device());
        Ok(Self { keys: zeros()?, values: zeros()? })
    }

    /// A copy of the first `len` tokens with room for `capacity`.
    fn resized(&self, len: usize, capacity: usize) -> Result<Self> {
        let slot = Self::empty(&self.keys, capacity)?;
        if len > 0 {
            slot.keys.slice_set(&self.keys.narrow(2, 0, len)?.contiguous()?, 2, 0)?;
            slot.values.slice_set(&self.values.narrow(2, 0, len)?.contiguous()?, 2, 0)?;
        }
        Ok(slot)
    }
}
