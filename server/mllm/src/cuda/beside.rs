//! LoRA adapters beside the weights: their numbers in the GPU's memory, and what is added to the rows that use them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use bytemuck::{NoUninit, Zeroable};
use half::slice::HalfFloatSliceExt;

use super::gpu::{Address, Arg, Gpu, Memory};
use super::kernels::{Kernels, int};
use crate::error::Result;
use crate::lm::lora::{LoraId, PRODUCTS, Product};
use crate::lm::{Batch, Lora};

/// Parts of a product that have pairs of their own; `PARTS` of `kernels/lora.cu`.
const PARTS: usize = 3;
/// Alignment of a pair's matrices.
const ALIGNMENT: usize = 16;
/// Blocks that share the rank of a pair, and their threads.
const DOWN: [usize; 2] = [8, 128];
/// Threads of `lora_up`.
const UP_THREADS: usize = 256;

/// `Pair` of `kernels/lora.cu`.
#[derive(Debug, Clone, Copy, NoUninit, Zeroable)]
#[repr(C)]
struct Pair {
    a: u64,
    b: u64,
    rank: i32,
    column: i32,
    outputs: i32,
    unused: i32,
}

/// The adapters that are on the GPU: those that somebody still holds.
#[derive(Debug)]
pub(super) struct Adapters<M>(HashMap<LoraId, (Weak<Lora>, M)>);

impl<M> Default for Adapters<M> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<M: Memory> Adapters<M> {
    /// Where the pairs of each token's adapter lie, null where it has none. Adapters that are new are brought to the GPU,
    /// those that are gone forgotten.
    pub(super) fn of<G: Gpu<Memory = M>>(&mut self, gpu: &G, batch: &Batch) -> Result<Vec<u64>> {
        self.0.retain(|_, (lora, _)| lora.strong_count() > 0);
        let mut addresses = Vec::with_capacity(batch.len());
        for segment in &batch.segments {
            let address = match &segment.adapter {
                Some(lora) => self.address(gpu, lora)?,
                None => Address::NULL,
            };
            addresses.extend(std::iter::repeat_n(address.0, segment.tokens));
        }
        Ok(addresses)
    }

    fn address<G: Gpu<Memory = M>>(&mut self, gpu: &G, lora: &Arc<Lora>) -> Result<Address> {
        let (_, memory) = match self.0.entry(lora.id()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((Arc::downgrade(lora), bring(gpu, lora)?)),
        };
        Ok(memory.address())
    }
}

/// Brings an adapter to the GPU: pairs `[layers, products, PARTS]`, then the matrices that they name, in bf16.
fn bring<G: Gpu>(gpu: &G, lora: &Lora) -> Result<G::Memory> {
    let mut pairs = vec![Pair::zeroed(); lora.layers() * PRODUCTS.len() * PARTS];
    let mut matrices = Vec::new();
    let mut bytes = size_of_val(pairs.as_slice());
    for layer in 0..lora.layers() {
        for product in PRODUCTS {
            for (nth, part) in lora.parts(layer, product).iter().enumerate() {
                let [a, b] = [&part.a, &part.b].map(|matrix| {
                    let at = bytes.next_multiple_of(ALIGNMENT);
                    let values = matrix.clone().into_bf16();
                    bytes = at + size_of_val(values.as_slice());
                    matrices.push((at, values));
                    at as u64
                });
                let [rank, column, outputs] =
                    [part.a.rows(), part.column, part.b.rows()].map(|size| size as i32);
                pairs[first(layer, product) + nth] = Pair { a, b, rank, column, outputs, unused: 0 };
            }
        }
    }
    let memory = gpu.zeroed(bytes)?;
    let base = memory.address();
    for pair in pairs.iter_mut().filter(|pair| pair.rank > 0) {
        pair.a += base.0;
        pair.b += base.0;
    }
    gpu.upload(base, bytemuck::cast_slice(&pairs))?;
    for (at, values) in matrices {
        gpu.upload(base.after(at), bytemuck::cast_slice::<u16, u8>(values.reinterpret_cast()))?;
    }
    Ok(memory)
}

/// The first pair of a product.
fn first(layer: usize, product: Product) -> usize {
    (layer * PRODUCTS.len() + product as usize) * PARTS
}

/// The rows of a step with their adapters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    /// `[rows]`: pointers to a row's pairs.
    pub(super) adapters: Address,
    /// `[rows, PARTS, most]`
    pub(super) low: Address,
    /// The greatest rank, or more.
    pub(super) most: usize,
    pub(super) rows: usize,
}

impl Beside {
    /// Bytes of `low`.
    pub(super) fn low_bytes(rows: usize, most: usize) -> usize {
        rows * PARTS * most * size_of::<f32>()
    }
}

/// A product that adapters change: y `[rows, width]` of x `[rows, columns]` in bf16.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    pub(super) layer: usize,
    pub(super) product: Product,
    pub(super) x: Address,
    pub(super) columns: usize,
    pub(super) y: Address,
    pub(super) width: usize,
}

impl<G: Gpu> Kernels<'_, G> {
    /// Adds to a product what the rows' adapters make of x.
    pub(super) fn lora(&self, beside: &Beside, changed: &Changed) -> Result<()> {
        let Beside { adapters, low, most, rows } = *beside;
        let Changed { layer, product, x, columns, y, width } = *changed;
        let first = int(first(layer, product));
        let [blocks, threads] = DOWN;
        let args = [Arg::At(adapters), first, Arg::At(x), Arg::At(low), int(columns), int(most)];
        self.launch("lora_down", [blocks, rows, PARTS], threads, &args)?;
        // Gate and up are kept in bf16 between kernels.
        let is_narrow = int(usize::from(matches!(product, Product::GateUp)));
        let args = [Arg::At(adapters), first, Arg::At(low), Arg::At(y), int(width), int(most), is_narrow];
        self.launch("lora_up", [width.div_ceil(UP_THREADS), rows, PARTS], UP_THREADS, &args)
    }
}
