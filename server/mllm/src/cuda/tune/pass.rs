//! A batch through the layers and back.

use super::Decoder;
use super::attend::{attend, attend_back};
use super::head::Scored;
use super::kernels::{Angles, NormBack, Parts};
use super::pairs::{Beside, Brought, Changed};
use super::space::{Size, Space};
use crate::cuda::gpu::{Address, Gemm, Gpu, Into, Memory, Operand, Product};
use crate::cuda::kernels::{Kernels, Norm};
use crate::error::Result;
use crate::lm::Input;
use crate::lm::lora;
use crate::ops::Term;
use crate::tuning::{Foretold, Learnt, Reading};

/// A pass over a batch.
pub(super) struct Pass<'a, G: Gpu> {
    pub(super) decoder: &'a Decoder<G>,
    pub(super) kernels: Kernels<'a, G>,
    pub(super) reading: &'a Reading,
    pub(super) space: Space,
    beside: Option<Beside<'a, G::Memory>>,
}

impl<'a, G: Gpu> Pass<'a, G> {
    /// Brings a batch that has been checked to the GPU.
    pub(super) fn begin(
        decoder: &'a Decoder<G>,
        reading: &'a Reading,
        size: &Size,
        base: Address,
        brought: Option<&'a Brought<G::Memory>>,
    ) -> Result<Self> {
        let Decoder { gpu, program, config, heads, pairs, .. } = decoder;
        let space = Space::new(base, config, size);
        let beside = brought.map(|brought| Beside { pairs, brought });
        let kernels = Kernels { gpu, program, heads: *heads };
        let upload = |to: Address, numbers: Vec<i32>| gpu.upload(to, bytemuck::cast_slice(&numbers));
        upload(space.ids, ids(&reading.inputs))?;
        upload(space.positions, reading.positions.iter().flatten().map(|at| *at as i32).collect())?;
        upload(space.order, reading.targets.iter().map(|(row, _)| *row as i32).collect())?;
        upload(space.targets, reading.targets.iter().map(|(_, id)| *id as i32).collect())?;
        gpu.upload(space.given, bytemuck::cast_slice(&reading.embeds))?;
        Ok(Self { decoder, kernels, reading, space, beside })
    }

    /// How well the targets are foretold, and the sum of their terms.
    pub(super) fn foretell(&self, term: &dyn Fn(usize, f32) -> Term) -> Result<(Foretold, f64)> {
        let last = self.forward(|index| index % 2)?;
        Scored { pass: self, x: last }.all(term, false)
    }

    /// The same with gradients.
    pub(super) fn learn(&self, term: &dyn Fn(usize, f32) -> Term) -> Result<Learnt> {
        let last = self.forward(|index| index)?;
        self.kernels.clear(self.space.slope, self.numbers())?;
        let (words, loss) = Scored { pass: self, x: last }.all(term, true)?;
        for index in (0..self.decoder.config.layers).rev() {
            self.layer(index, self.stream(index), None)?;
            self.layer_back(index, self.stream(index))?;
        }
        let grads = match &self.beside {
            Some(Beside { pairs, brought }) => pairs.grads(self.kernels.gpu, brought)?,
            None => Vec::new(),
        };
        Ok(Learnt { words, loss, grads })
    }

    /// The n-th of what is kept between the layers.
    fn stream(&self, nth: usize) -> Address {
        self.space.between.after(nth * self.numbers() * size_of::<f32>())
    }

    /// Numbers of the stream.
    fn numbers(&self) -> usize {
        self.rows() * self.decoder.config.hidden_size
    }

    fn rows(&self) -> usize {
        self.reading.inputs.len()
    }

    /// Runs all layers; `keeps` says which of the streams what is before each layer becomes. Gives the last.
    fn forward(&self, keeps: impl Fn(usize) -> usize) -> Result<Address> {
        let Self { decoder, space, .. } = self;
        let at = |index| self.stream(keeps(index));
        let table = decoder.weights.table.address();
        let shape = [self.rows(), decoder.config.hidden_size];
        self.kernels.embed(space.ids, table, space.given, at(0), shape)?;
        for index in 0..decoder.config.layers {
            self.layer(index, at(index), Some(at(index + 1)))?;
        }
        Ok(at(decoder.config.layers))
    }

    /// A layer, from x to `out`; where nobody asks for what comes out, all but its last product.
    fn layer(&self, index: usize, x: Address, out: Option<Address>) -> Result<()> {
        let Self { decoder, kernels, space, .. } = self;
        let (layer, rows) = (&decoder.weights.layers[index], self.rows());
        self.norm(x, layer.attention_norm.address(), space.normed)?;
        let qkv = (layer.qkv.address(), lora::Product::Qkv);
        self.multiply(index, qkv, space.normed, space.qkv, Into::Set)?;
        let parts = Parts { queries: space.queries, keys: space.keys, values: space.values };
        kernels.turn_heads((space.qkv, layer.qkv_bias.address()), self.angles(), parts, rows)?;
        attend(kernels, space, &self.reading.lengths)?;
        kernels.copy(x, space.middle, self.numbers())?;
        let output = (layer.output.address(), lora::Product::Output);
        self.multiply(index, output, space.mixed, space.middle, Into::Add)?;

        self.norm(space.middle, layer.mlp_norm.address(), space.mlp_normed)?;
        let gate_up = (layer.gate_up.address(), lora::Product::GateUp);
        self.multiply(index, gate_up, space.mlp_normed, space.gate_up, Into::Set)?;
        kernels.gate(space.gate_up, space.inner, [rows, decoder.config.intermediate_size])?;
        let Some(out) = out else { return Ok(()) };
        kernels.copy(space.middle, out, self.numbers())?;
        self.multiply(index, (layer.down.address(), lora::Product::Down), space.inner, out, Into::Add)
    }

    /// Turns the gradient of what a layer makes of x, `space.slope`, into that of x, and adds those of its pairs. The
    /// layer's own values are there.
    fn layer_back(&self, index: usize, x: Address) -> Result<()> {
        let Self { decoder, kernels, space, .. } = self;
        let (layer, rows) = (&decoder.weights.layers[index], self.rows());
        kernels.narrowed(space.slope, space.narrow_slope, self.numbers())?;
        let down = (layer.down.address(), lora::Product::Down);
        self.multiply_back(index, down, space.inner, space.narrow_slope, space.inner_slope)?;
        let inner = [rows, decoder.config.intermediate_size];
        kernels.gate_back(space.gate_up, space.inner_slope, space.gate_up_slope, inner)?;
        let gate_up = (layer.gate_up.address(), lora::Product::GateUp);
        self.multiply_back(index, gate_up, space.mlp_normed, space.gate_up_slope, space.normed_slope)?;
        self.norm_back(space.middle, layer.mlp_norm.address())?;

        kernels.narrowed(space.slope, space.narrow_slope, self.numbers())?;
        let output = (layer.output.address(), lora::Product::Output);
        self.multiply_back(index, output, space.mixed, space.narrow_slope, space.normed_slope)?;
        let slopes = attend_back(kernels, space, &self.reading.lengths, space.normed_slope)?;
        kernels.turn_back(slopes, self.angles(), space.qkv_slope, rows)?;
        let qkv = (layer.qkv.address(), lora::Product::Qkv);
        self.multiply_back(index, qkv, space.normed, space.qkv_slope, space.normed_slope)?;
        self.norm_back(x, layer.attention_norm.address())
    }

    fn angles(&self) -> Angles {
        let weights = &self.decoder.weights;
        Angles {
            positions: self.space.positions,
            frequencies: weights.frequencies.address(),
            axes: weights.axes.address(),
        }
    }

    fn norm(&self, x: Address, weight: Address, out: Address) -> Result<()> {
        self.kernels.rms_norm(&Norm {
            x,
            bias: Address::NULL,
            weight,
            order: Address::NULL,
            out,
            rows: self.rows(),
            width: self.decoder.config.hidden_size,
            eps: self.decoder.config.rms_norm_eps,
        })
    }

    /// Adds to `space.slope` the gradient of x from that of its norm, `space.normed_slope`.
    fn norm_back(&self, x: Address, weight: Address) -> Result<()> {
        self.kernels.norm_back(&NormBack {
            x,
            weight,
            slopes: self.space.normed_slope,
            order: Address::NULL,
            into: self.space.slope,
            rows: self.rows(),
            width: self.decoder.config.hidden_size,
            eps: self.decoder.config.rms_norm_eps,
        })
    }

    fn changed(&self, layer: usize, product: lora::Product, x: Address) -> Changed {
        let [width, _] = product.shape(&self.decoder.config);
        Changed { layer, product, x, rows: self.rows(), width }
    }

    /// A product of the layer, with what its pairs add, in f32.
    fn multiply(
        &self,
        layer: usize,
        (weights, product): (Address, lora::Product),
        x: Address,
        y: Address,
        into: Into,
    ) -> Result<()> {
        let [outputs, inputs] = product.shape(&self.decoder.config);
        let (rows, columns, count) = (outputs, inputs, self.rows());
        self.kernels.gpu.multiply(&Product { weights, rows, columns, x, count, out: y, into })?;
        match &self.beside {
            Some(beside) => beside.add(&self.kernels, &self.space, &self.changed(layer, product, x), y),
            None => Ok(()),
        }
    }

    /// The gradient of x, f32, from that of a product, bf16; those of the product's pairs are added to theirs.
    fn multiply_back(
        &self,
        layer: usize,
        (weights, product): (Address, lora::Product),
        x: Address,
        slope: Address,
        by_x: Address,
    ) -> Result<()> {
        let [outputs, inputs] = product.shape(&self.decoder.config);
        self.kernels.gpu.gemm(&Gemm {
            a: Operand::new(slope, outputs),
            b: Operand::new(weights, inputs),
            out: Operand::new(by_x, inputs),
            sizes: [self.rows(), outputs, inputs],
            batch: 1,
            scale: 1.0,
            into: Into::Set,
        })?;
        match &self.beside {
            Some(beside) => {
                beside.back(&self.kernels, &self.space, &self.changed(layer, product, x), slope, by_x)
            }
            None => Ok(()),
        }
    }
}

/// Tokens, and -1 - n for the n-th embedding that is given.
fn ids(inputs: &[Input]) -> Vec<i32> {
    let mut given = 0;
    let id = |input: &Input| match input {
        Input::Token(id) => *id as i32,
        Input::Embedding => {
            given += 1;
            -given
        }
    };
    inputs.iter().map(id).collect()
}
