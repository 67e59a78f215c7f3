//! The language model on a GPU.

use std::collections::HashMap;

use half::bf16;

use super::beside::{Adapters, Beside, Changed};
use super::choosing::{Choosing, mask_words};
use super::gpu::{Address, Gpu, Into, Memory, Product};
use super::inputs::{Attention, Bucket, Inputs};
use super::kernels::{Attend, FEW, Heads, Kernels, Norm, SOURCE, Turn};
use super::layout::Layout;
use super::loader::{Decoder, Layer};
use crate::config::TextConfig;
use crate::error::{Error, Result};
use crate::lm::{BLOCK, Batch, Choice, Next, What, lora};
use crate::weights::Weights;

/// A language model on a GPU, with the memory of its blocks and of its steps.
#[derive(Debug)]
pub struct Language<G: Gpu> {
    gpu: G,
    program: G::Program,
    config: TextConfig,
    heads: Heads,
    weights: Decoder<G::Memory>,
    pool: Option<Pool<G::Memory>>,
    /// For the intermediate values of a step, with its size.
    space: Option<(G::Memory, usize)>,
    /// Those beside the weights.
    adapters: Adapters<G::Memory>,
    /// Steps of single tokens, as recorded.
    graphs: HashMap<Bucket, G::Graph>,
}

/// Keys and values: `[layers, blocks, kv heads, BLOCK, head width]` each.
#[derive(Debug)]
struct Pool<M> {
    blocks: usize,
    keys: M,
    values: M,
}

impl<G: Gpu> Language<G> {
    /// Takes every weight that `text` asks for, one after the other.
    ///
    /// # Errors
    /// When the kernels do not fit the model, a weight cannot be read, or memory does not suffice.
    pub fn load(gpu: G, text: &TextConfig, tied: bool, weights: &dyn Weights) -> Result<Self> {
        let heads = heads(text)?;
        let program = gpu.program(SOURCE, &heads.defines())?;
        Ok(Self {
            weights: Decoder::load(&gpu, text, tied, weights)?,
            program,
            config: text.clone(),
            heads,
            pool: None,
            space: None,
            adapters: Adapters::default(),
            graphs: HashMap::new(),
            gpu,
        })
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Bytes of weights that a step reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        self.weights.step_bytes
    }

    /// Bytes of a block of keys and values.
    #[must_use]
    pub fn block_bytes(config: &TextConfig) -> usize {
        2 * config.layers * layer_bytes(config)
    }

    /// Takes memory for `blocks` blocks, in place of what there was if that was another number.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn make_room(&mut self, blocks: usize) -> Result<()> {
        if self.pool.as_ref().is_some_and(|pool| pool.blocks == blocks) {
            return Ok(());
        }
        self.graphs.clear();
        self.pool = None;
        let bytes = self.config.layers * blocks * layer_bytes(&self.config);
        self.pool = Some(Pool { blocks, keys: self.gpu.zeroed(bytes)?, values: self.gpu.zeroed(bytes)? });
        Ok(())
    }

    /// Runs a step; see [`crate::lm::Executor`].
    ///
    /// # Errors
    /// When the batch does not fit the model or its blocks, or the GPU fails.
    pub fn step(&mut self, batch: &Batch) -> Result<Vec<Next>> {
        batch.check(&self.config, self.pool.as_ref().map_or(0, |pool| pool.blocks))?;
        let inputs = Inputs::new(batch);
        let layout = self.lay_out(&inputs, batch.embeds.len())?;
        self.gpu.upload(layout.inputs, bytemuck::cast_slice(&inputs.data))?;
        self.gpu.upload(layout.given, bytemuck::cast_slice(&batch.embeds))?;
        self.upload_masks(batch, &layout)?;
        if inputs.bucket.rank > 0 {
            let mut adapters = self.adapters.of(&self.gpu, batch)?;
            adapters.resize(inputs.bucket.rows, Address::NULL.0);
            self.gpu.upload(layout.adapters, bytemuck::cast_slice(&adapters))?;
        }
        match self.graphs.get(&inputs.bucket).filter(|_| inputs.repeats) {
            Some(graph) => self.gpu.replay(graph)?,
            None => self.run(&inputs, &layout)?,
        }
        if inputs.repeats && !self.graphs.contains_key(&inputs.bucket) {
            // What ran once has nothing left to allocate.
            let graph = self.gpu.record(&mut || self.run(&inputs, &layout))?;
            self.graphs.insert(inputs.bucket, graph);
        }
        self.next(batch, &layout)
    }

    /// Room for a step. Where it has to grow, what was recorded for the old place is void.
    fn lay_out(&mut self, inputs: &Inputs, given: usize) -> Result<Layout> {
        let lay_out = |base| Layout::new::<G>(base, &self.config, &self.heads, inputs, given);
        let bytes = lay_out(Address::NULL).bytes;
        if self.space.as_ref().is_none_or(|(_, size)| *size < bytes) {
            self.graphs.clear();
            self.space = None;
            self.space = Some((self.gpu.zeroed(bytes)?, bytes));
        }
        let base = self.space.as_ref().map_or(Address::NULL, |(memory, _)| memory.address());
        Ok(Layout::new::<G>(base, &self.config, &self.heads, inputs, given))
    }

    /// Asks the GPU for a step.
    fn run(&self, inputs: &Inputs, layout: &Layout) -> Result<()> {
        let kernels = Kernels { gpu: &self.gpu, program: &self.program, heads: self.heads };
        let (rows, hidden, vocab) = (inputs.bucket.rows, self.config.hidden_size, self.config.vocab_size);
        let parts = inputs.parts();
        let table = self.weights.table.address();
        let ids = layout.inputs.after(parts.ids);
        kernels.embed(ids, table, layout.given, layout.x, [rows, hidden])?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attention(&kernels, layer, index, inputs, layout)?;
            self.feed_forward(&kernels, layer, index, inputs, layout)?;
        }
        if inputs.wanted == 0 {
            return Ok(());
        }
        let order = layout.inputs.after(parts.order);
        self.norm(&kernels, self.weights.norm.address(), order, inputs.wanted, layout)?;
        kernels.multiply(&Product {
            weights: self.weights.output(),
            rows: vocab,
            columns: hidden,
            x: layout.normed,
            count: inputs.wanted,
            out: layout.logits,
            into: Into::Set,
        })?;
        let choosing = Choosing {
            scores: layout.logits,
            choices: layout.inputs.after(parts.choices),
            masks: layout.masks,
            space: layout.choosing,
            ids: layout.ids,
        };
        kernels.choose(&choosing, [inputs.wanted, vocab])
    }

    fn norm(
        &self,
        kernels: &Kernels<G>,
        weight: Address,
        order: Address,
        rows: usize,
        layout: &Layout,
    ) -> Result<()> {
        kernels.rms_norm(&Norm {
            x: layout.x,
            bias: Address::NULL,
            weight,
            order,
            out: layout.normed,
            rows,
            width: self.config.hidden_size,
            eps: self.config.rms_norm_eps,
        })
    }

    fn attention(
        &self,
        kernels: &Kernels<G>,
        layer: &Layer<G::Memory>,
        index: usize,
        inputs: &Inputs,
        layout: &Layout,
    ) -> Result<()> {
        let (rows, hidden, parts) = (inputs.bucket.rows, self.config.hidden_size, inputs.parts());
        let at = |part: usize| layout.inputs.after(part);
        self.norm(kernels, layer.attention_norm.address(), Address::NULL, rows, layout)?;
        kernels.multiply(&Product {
            weights: layer.qkv.address(),
            rows: hidden + 2 * self.config.kv_size(),
            columns: hidden,
            x: layout.normed,
            count: rows,
            out: layout.qkv,
            into: Into::Set,
        })?;
        self.adapt(kernels, index, lora::Product::Qkv, inputs, layout)?;
        let [keys, values] = self.planes(index);
        let turn = Turn {
            qkv: layout.qkv,
            bias: layer.qkv_bias.address(),
            positions: at(parts.positions),
            frequencies: self.weights.frequencies.address(),
            axes: self.weights.axes.address(),
            slots: at(parts.slots),
            queries: layout.queries,
            keys,
            values,
        };
        kernels.rope_kv(&turn, rows)?;
        let attend = Attend { queries: layout.queries, keys, values, out: layout.mixed };
        let tables = (at(parts.tables), inputs.bucket.stride);
        match (inputs.attention, inputs.split(&self.heads)) {
            (Attention::Many(tiles), _) => {
                kernels.attend_causal(&attend, (at(parts.tiles), tiles), tables)?;
            }
            (Attention::Few, None) => {}
            (Attention::Few, Some(split)) => {
                kernels.attend_few(&attend, at(parts.lengths), tables, split, rows, layout.few)?;
            }
        }
        kernels.multiply(&Product {
            weights: layer.output.address(),
            rows: hidden,
            columns: hidden,
            x: layout.mixed,
            count: rows,
            out: layout.x,
            into: Into::Add,
        })?;
        self.adapt(kernels, index, lora::Product::Output, inputs, layout)
    }

    fn feed_forward(
        &self,
        kernels: &Kernels<G>,
        layer: &Layer<G::Memory>,
        index: usize,
        inputs: &Inputs,
        layout: &Layout,
    ) -> Result<()> {
        let Bucket { rows, rank, .. } = inputs.bucket;
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);
        self.norm(kernels, layer.mlp_norm.address(), Address::NULL, rows, layout)?;
        let gate_up = Product {
            weights: layer.gate_up.address(),
            rows: 2 * inner,
            columns: hidden,
            x: layout.normed,
            count: rows,
            out: layout.gate_up,
            into: Into::SetBf16,
        };
        if rows <= FEW && rank == 0 {
            kernels.gemv_swiglu(&Product { out: layout.inner, ..gate_up })?;
        } else {
            kernels.multiply(&gate_up)?;
            self.adapt(kernels, index, lora::Product::GateUp, inputs, layout)?;
            kernels.swiglu(layout.gate_up, Address::NULL, layout.inner, [rows, inner])?;
        }
        kernels.multiply(&Product {
            weights: layer.down.address(),
            rows: hidden,
            columns: inner,
            x: layout.inner,
            count: rows,
            out: layout.x,
            into: Into::Add,
        })?;
        self.adapt(kernels, index, lora::Product::Down, inputs, layout)
    }

    /// Adds to a product what adapters make of its rows, where any row uses one.
    fn adapt(
        &self,
        kernels: &Kernels<G>,
        layer: usize,
        product: lora::Product,
        inputs: &Inputs,
        layout: &Layout,
    ) -> Result<()> {
        let Bucket { rows, rank: most, .. } = inputs.bucket;
        if most == 0 {
            return Ok(());
        }
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let (x, columns, y, width) = match product {
            lora::Product::Qkv => (layout.normed, hidden, layout.qkv, hidden + 2 * self.config.kv_size()),
            lora::Product::Output => (layout.mixed, hidden, layout.x, hidden),
            lora::Product::GateUp => (layout.normed, hidden, layout.gate_up, 2 * inner),
            lora::Product::Down => (layout.inner, inner, layout.x, hidden),
        };
        let beside = Beside { adapters: layout.adapters, low: layout.low, most, rows };
        kernels.lora(&beside, &Changed { layer, product, x, columns, y, width })
    }

    /// Keys and values of a layer.
    fn planes(&self, index: usize) -> [Address; 2] {
        let Some(pool) = &self.pool else { return [Address::NULL; 2] };
        let at = index * pool.blocks * layer_bytes(&self.config);
        [pool.keys.address().after(at), pool.values.address().after(at)]
    }

    /// Brings the masks of those rows where not all tokens may be taken.
    fn upload_masks(&self, batch: &Batch, layout: &Layout) -> Result<()> {
        let words = mask_words(self.config.vocab_size);
        for (row, wanted) in batch.wanted.iter().enumerate() {
            let What::Token(Choice { among: Some(among), .. }) = &wanted.what else { continue };
            let mut mask = among.words().to_vec();
            mask.resize(words, 0);
            let to = layout.masks.after(row * words * size_of::<u32>());
            self.gpu.upload(to, bytemuck::cast_slice(&mask))?;
        }
        Ok(())
    }

    /// Brings back what is wanted.
    fn next(&self, batch: &Batch, layout: &Layout) -> Result<Vec<Next>> {
        let vocab = self.config.vocab_size;
        let mut ids = vec![0i32; batch.wanted.len()];
        self.gpu.download(layout.ids, bytemuck::cast_slice_mut(&mut ids))?;
        let next = batch.wanted.iter().zip(ids).enumerate().map(|(row, (wanted, id))| {
            if let What::Token(_) = wanted.what {
                return Ok(Next::Token(u32::try_from(id).ok()));
            }
            let mut scores = vec![0f32; vocab];
            let from = layout.logits.after(row * vocab * size_of::<f32>());
            self.gpu.download(from, bytemuck::cast_slice_mut(&mut scores))?;
            Ok(Next::Scores(scores))
        });
        next.collect()
    }
}

/// Bytes of the keys, or the values, of a block in one layer.
fn layer_bytes(config: &TextConfig) -> usize {
    BLOCK * config.kv_size() * size_of::<bf16>()
}

/// The model's heads, where the kernels fit it.
pub(super) fn heads(config: &TextConfig) -> Result<Heads> {
    let heads =
        Heads { kv_heads: config.kv_heads, group: config.heads / config.kv_heads, width: config.head_dim() };
    let problem = |what: String| Err(Error::Device(format!("the kernels do not fit the model: {what}")));
    if ![16, 32, 64, 128].contains(&heads.width) {
        return problem(format!("a head is {} wide; expected 16, 32, 64 or 128", heads.width));
    }
    if heads.group > 16 {
        return problem(format!("{} query heads share a key head; expected at most 16", heads.group));
    }
    if !config.hidden_size.is_multiple_of(8) || !config.intermediate_size.is_multiple_of(8) {
        let sizes = [config.hidden_size, config.intermediate_size];
        return problem(format!("its widths are {sizes:?}; expected multiples of 8"));
    }
    Ok(heads)
}
