//! What LoRA adapters add to a layer's products while decoding: y + scale · (x Aᵀ) Bᵀ, for the rows of the sequences that
//! use them. Sequences with different adapters, and with none, run in one step.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::{Result, bail};

use super::batch::Batch;
use super::matrix::Matrix;
use crate::adapter::{Adapter, Pair, is_vision};
use crate::config::TextConfig;
use crate::error::Error;
use crate::ops::rows::add;

/// The products of a decoder layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Product {
    /// Queries, keys and values.
    Qkv,
    /// Out of attention.
    Output,
    /// Gate and up.
    GateUp,
    /// Out of the feed-forward layer.
    Down,
}

/// All of them.
pub(crate) const PRODUCTS: [Product; 4] = [Product::Qkv, Product::Output, Product::GateUp, Product::Down];

impl Product {
    /// The layer's maps that it holds, each with the first of its columns.
    pub(crate) fn maps(self, config: &TextConfig) -> Vec<(&'static str, usize)> {
        let (width, kv_width, inner) = (config.hidden_size, config.kv_size(), config.intermediate_size);
        match self {
            Self::Qkv => vec![
                ("self_attn.q_proj", 0),
                ("self_attn.k_proj", width),
                ("self_attn.v_proj", width + kv_width),
            ],
            Self::Output => vec![("self_attn.o_proj", 0)],
            Self::GateUp => vec![("mlp.gate_proj", 0), ("mlp.up_proj", inner)],
            Self::Down => vec![("mlp.down_proj", 0)],
        }
    }

    /// Its width, and that of what is multiplied.
    pub(crate) fn shape(self, config: &TextConfig) -> [usize; 2] {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        match self {
            Self::Qkv => [width + 2 * config.kv_size(), width],
            Self::Output => [width, width],
            Self::GateUp => [2 * inner, width],
            Self::Down => [width, inner],
        }
    }
}

/// What an adapter adds to some columns of a product.
#[derive(Debug)]
pub(crate) struct Part {
    /// `[rank, inputs]`
    pub(crate) a: Matrix,
    /// `[outputs, rank]`, scaled.
    pub(crate) b: Matrix,
    /// The first of the product's columns that it is added to.
    pub(crate) column: usize,
}

/// An adapter of a decoder, as it is applied beside the model's weights.
#[derive(Debug)]
pub struct Lora {
    id: LoraId,
    config: TextConfig,
    /// By layer and [`Product`].
    layers: Vec<[Vec<Part>; 4]>,
}

/// What an adapter's numbers are known by: two adapters with the same id compute the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoraId([u8; 16]);

impl LoraId {
    /// The bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Lora {
    /// Brings an adapter into the form in which it is applied to a decoder of the shape `config`.
    ///
    /// # Errors
    /// When it changes the vision tower, whose embeddings are shared by all turns that show a picture, or does not fit.
    pub fn new(adapter: &Adapter, config: &TextConfig) -> crate::Result<Self> {
        if let Some(module) = adapter.modules().find(|module| is_vision(module)) {
            return Err(Error::Adapter(format!(
                "it changes the vision tower ({module}), which only a merged adapter can do; give its folder without a name"
            )));
        }
        let layers = (0..config.layers).map(|layer| parts(adapter, config, layer));
        Ok(Self { id: id(adapter), config: config.clone(), layers: layers.collect::<Result<_>>()? })
    }

    /// What its numbers are known by.
    #[must_use]
    pub fn id(&self) -> LoraId {
        self.id
    }

    /// Layers of the decoder.
    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// What it adds to a product, at most three parts.
    pub(crate) fn parts(&self, layer: usize, product: Product) -> &[Part] {
        self.layers.get(layer).map_or(&[], |parts| parts[product as usize].as_slice())
    }

    /// The greatest rank of its parts.
    pub(crate) fn rank(&self) -> usize {
        self.layers.iter().flatten().flatten().map(|part| part.a.rows()).max().unwrap_or(0)
    }

    /// Whether it was made for a decoder of that shape.
    pub(super) fn fits(&self, config: &TextConfig) -> bool {
        self.config == *config
    }
}

/// The parts of a layer, by [`Product`].
fn parts(adapter: &Adapter, config: &TextConfig, layer: usize) -> Result<[Vec<Part>; 4]> {
    let of = |product: Product| {
        let pairs = product.maps(config).into_iter().filter_map(|(name, column)| {
            Some((adapter.pair(&format!("model.layers.{layer}.{name}"))?, column))
        });
        pairs.map(|(pair, column)| Part::new(pair, column)).collect::<Result<Vec<_>>>()
    };
    let [qkv, output, gate_up, down] = PRODUCTS.map(of);
    Ok([qkv?, output?, gate_up?, down?])
}

impl Part {
    fn new(pair: &Pair, column: usize) -> Result<Self> {
        let Pair { a, b, rank, scale } = pair;
        let scaled = b.iter().map(|value| value * scale).collect();
        let (inputs, outputs) = (a.len() / rank, b.len() / rank);
        Ok(Self {
            a: Matrix::f32(a.clone(), [*rank, inputs])?,
            b: Matrix::f32(scaled, [outputs, *rank])?,
            column,
        })
    }
}

fn id(adapter: &Adapter) -> LoraId {
    let mut hasher = blake3::Hasher::new();
    for module in adapter.modules() {
        let Some(Pair { a, b, rank, scale }) = adapter.pair(module) else { continue };
        // Lengths keep what follows one another apart.
        hasher.update(&(module.len() as u64).to_le_bytes()).update(module.as_bytes());
        hasher.update(&(*rank as u64).to_le_bytes()).update(&scale.to_le_bytes());
        for value in a.iter().chain(b) {
            hasher.update(&value.to_le_bytes());
        }
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    LoraId(id)
}

/// The rows of a batch by the adapter that their sequences use.
pub(super) struct Adapted<'a> {
    tokens: usize,
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    lora: &'a Arc<Lora>,
    /// Places in the batch, in order.
    rows: Vec<usize>,
}

impl<'a> Adapted<'a> {
    pub(super) fn of(batch: &'a Batch) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut first = 0;
        for segment in &batch.segments {
            let rows = first..first + segment.tokens;
            first = rows.end;
            let Some(lora) = &segment.adapter else { continue };
            match groups.iter_mut().find(|group| Arc::ptr_eq(group.lora, lora)) {
                Some(group) => group.rows.extend(rows),
                None => groups.push(Group { lora, rows: rows.collect() }),
            }
        }
        Self { tokens: batch.len(), groups }
    }

    /// Adds to y `[tokens, columns]` what the adapters make of x `[tokens, inputs]`.
    pub(super) fn add(&self, y: &mut [f32], layer: usize, product: Product, x: &[f32]) -> Result<()> {
        for group in &self.groups {
            let Some(layer) = group.lora.layers.get(layer) else { bail!("an adapter has no layer {layer}") };
            let parts = &layer[product as usize];
            if parts.is_empty() {
                continue;
            }
            let x = self.rows(group, x);
            for part in parts {
                let change = part.b.product(&part.a.product(&x, None)?, None)?;
                self.add_part(group, part, y, &change);
            }
        }
        Ok(())
    }

    /// The group's rows of x.
    fn rows<'x>(&self, group: &Group, x: &'x [f32]) -> Cow<'x, [f32]> {
        if group.rows.len() == self.tokens {
            return Cow::Borrowed(x);
        }
        let width = x.len() / self.tokens;
        group
            .rows
            .iter()
            .flat_map(|row| &x[row * width..(row + 1) * width])
            .copied()
            .collect::<Vec<_>>()
            .into()
    }

    fn add_part(&self, group: &Group, part: &Part, y: &mut [f32], change: &[f32]) {
        let (columns, outputs) = (y.len() / self.tokens, part.b.rows());
        for (row, change) in group.rows.iter().zip(change.chunks_exact(outputs)) {
            let at = row * columns + part.column;
            add(&mut y[at..at + outputs], change);
        }
    }
}
