//! Pairs beside the decoder's maps, on a GPU: y += scale · dropout(x) Aᵀ Bᵀ, and the gradients of A, B and x.

use candle_core::{Device, Tensor};
use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::kernels::Draws;
use super::space::Space;
use crate::adapter::in_layer;
use crate::config::TextConfig;
use crate::cuda::gpu::{self, Address, Gemm, Gpu, Into, Memory, Operand, filled};
use crate::cuda::kernels::Kernels;
use crate::error::Result;
use crate::lm::lora::{PRODUCTS, Product};
use crate::model::LowRank;
use crate::weights::Weights;

/// A pair.
#[derive(Debug)]
struct Pair {
    /// The map beside which it is.
    module: String,
    /// Its numbers, wherever they are trained.
    numbers: LowRank,
    /// The first of the product's columns that it is added to.
    column: usize,
    /// Its map's outputs and inputs.
    shape: [usize; 2],
    rank: usize,
    /// Numbers of the pairs before it.
    before: usize,
    /// Pairs before it.
    nth: usize,
}

impl Pair {
    /// Numbers of A and of B.
    fn sizes(&self) -> [usize; 2] {
        let [outputs, inputs] = self.shape;
        [self.rank * inputs, outputs * self.rank]
    }
}

/// All pairs of a decoder.
#[derive(Debug)]
pub(super) struct Pairs {
    /// By layer and [`Product`].
    layers: Vec<[Vec<Pair>; 4]>,
    /// Numbers of all.
    numbers: usize,
    /// The greatest rank.
    pub(super) rank: usize,
}

/// The pairs' numbers on the GPU, for one pass.
#[derive(Debug)]
pub(super) struct Brought<M> {
    /// A and B of every pair, bf16.
    values: M,
    /// Their gradients, f32; none without.
    slopes: Option<M>,
    /// What dropout draws, by pair; none where nothing is dropped.
    draws: Option<M>,
}

impl Pairs {
    /// Those that `weights` has beside a decoder's maps.
    pub(super) fn of(config: &TextConfig, weights: &dyn Weights) -> Result<Self> {
        let mut pairs = Self { layers: Vec::new(), numbers: 0, rank: 0 };
        let mut nth = 0;
        for layer in 0..config.layers {
            let mut products: [Vec<Pair>; 4] = Default::default();
            for product in PRODUCTS {
                for (name, column) in product.maps(config) {
                    let module = format!("model.layers.{layer}.{name}");
                    let Some(shape) = in_layer(name, config) else { continue };
                    let Some(numbers) = weights.beside(&module, shape)? else { continue };
                    let rank = numbers.a.dim(0)?;
                    let pair = Pair { module, numbers, column, shape, rank, before: pairs.numbers, nth };
                    pairs.numbers += pair.sizes().iter().sum::<usize>();
                    pairs.rank = pairs.rank.max(rank);
                    nth += 1;
                    products[product as usize].push(pair);
                }
            }
            pairs.layers.push(products);
        }
        Ok(pairs)
    }

    fn all(&self) -> impl Iterator<Item = &Pair> {
        self.layers.iter().flatten().flatten()
    }

    /// Whether dropout is on.
    pub(super) fn drops(&self) -> bool {
        self.all().any(|pair| pair.numbers.dropout.draws().is_some())
    }

    /// Brings their numbers, as they are now, to the GPU.
    pub(super) fn bring<G: Gpu>(&self, gpu: &G, learns: bool) -> Result<Brought<G::Memory>> {
        let halves: Vec<&Tensor> = self.all().flat_map(|pair| [&pair.numbers.a, &pair.numbers.b]).collect();
        let narrowed = halves.par_iter().map(|half| {
            let numbers: Vec<f32> = half.flatten_all()?.to_vec1()?;
            Ok(numbers.into_iter().map(bf16::from_f32).collect::<Vec<_>>())
        });
        let values = narrowed.collect::<candle_core::Result<Vec<_>>>()?.concat();
        let draws: Vec<u64> =
            self.all().flat_map(|pair| pair.numbers.dropout.draws().unwrap_or_default()).collect();
        let slopes = learns.then(|| gpu.zeroed(self.numbers * size_of::<f32>())).transpose()?;
        let draws = self.drops().then(|| filled(gpu, &draws)).transpose()?;
        Ok(Brought { values: filled(gpu, values.reinterpret_cast())?, slopes, draws })
    }

    /// The gradients that a pass left.
    pub(super) fn grads<G: Gpu>(
        &self,
        gpu: &G,
        brought: &Brought<G::Memory>,
    ) -> Result<Vec<(String, [Tensor; 2])>> {
        let mut numbers = vec![0f32; self.numbers];
        if let Some(slopes) = &brought.slopes {
            gpu.download(slopes.address(), bytemuck::cast_slice_mut(&mut numbers))?;
        }
        let mut rest = numbers.as_slice();
        let mut tensor = |shape: [usize; 2]| {
            let (own, behind) = rest.split_at(shape[0] * shape[1]);
            rest = behind;
            Tensor::from_slice(own, shape.as_slice(), &Device::Cpu)
        };
        let each = self.all().map(|pair| {
            let ([outputs, inputs], rank) = (pair.shape, pair.rank);
            Ok((pair.module.clone(), [tensor([rank, inputs])?, tensor([outputs, rank])?]))
        });
        each.collect()
    }
}

/// A product that pairs change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    pub(super) layer: usize,
    pub(super) product: Product,
    /// What is multiplied, `[rows, inputs]` in bf16.
    pub(super) x: Address,
    pub(super) rows: usize,
    /// Columns of the product.
    pub(super) width: usize,
}

/// Pairs at work in a pass.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a, M> {
    pub(super) pairs: &'a Pairs,
    pub(super) brought: &'a Brought<M>,
}

/// Where the numbers of a pair lie.
struct Places {
    a: Operand,
    b: Operand,
    /// Its gradients; null where none are wanted.
    a_slope: Operand,
    b_slope: Operand,
    draws: Option<Draws>,
}

impl<M: Memory> Beside<'_, M> {
    fn of(&self, changed: &Changed) -> &[Pair] {
        &self.pairs.layers[changed.layer][changed.product as usize]
    }

    fn places(&self, pair: &Pair) -> Places {
        let [a, _] = pair.sizes();
        let at = |memory: Option<&M>, size: usize| {
            let base = memory.map_or(Address::NULL, Memory::address).after(pair.before * size);
            (Operand::new(base, pair.shape[1]), Operand::new(base.after(a * size), pair.rank))
        };
        let ((a, b), (a_slope, b_slope)) = (
            at(Some(&self.brought.values), size_of::<bf16>()),
            at(self.brought.slopes.as_ref(), size_of::<f32>()),
        );
        let draws = self.brought.draws.as_ref().map(|draws| Draws {
            at: draws.address().after(pair.nth * size_of::<[u64; 2]>()),
            keep: pair.numbers.dropout.keep(),
        });
        Places { a, b, a_slope, b_slope, draws }
    }

    /// Adds to the product y, f32, what the pairs make of x.
    pub(super) fn add<G: Gpu<Memory = M>>(
        &self,
        kernels: &Kernels<G>,
        space: &Space,
        changed: &Changed,
        y: Address,
    ) -> Result<()> {
        for pair in self.of(changed) {
            let Places { b, .. } = self.low(kernels, space, changed, pair)?;
            kernels.gpu.gemm(&Gemm {
                a: Operand::new(space.low, pair.rank),
                b: b.turned(),
                out: Operand::new(y.after(pair.column * size_of::<f32>()), changed.width),
                sizes: [changed.rows, pair.rank, pair.shape[0]],
                batch: 1,
                scale: pair.numbers.scale as f32,
                into: Into::Add,
            })?;
        }
        Ok(())
    }

    /// What A makes of x, dropout included, into `space.low`.
    fn low<G: Gpu<Memory = M>>(
        &self,
        kernels: &Kernels<G>,
        space: &Space,
        changed: &Changed,
        pair: &Pair,
    ) -> Result<Places> {
        let (places, inputs) = (self.places(pair), pair.shape[1]);
        if let Some(draws) = places.draws {
            kernels.dropped(changed.x, space.dropped, draws, changed.rows * inputs)?;
        }
        kernels.gpu.multiply(&gpu::Product {
            weights: places.a.at,
            rows: pair.rank,
            columns: inputs,
            x: input(&places, space, changed),
            count: changed.rows,
            out: space.low,
            into: Into::SetBf16,
        })?;
        Ok(places)
    }

    /// Adds the gradients of the pairs, and to `into` that of x, f32; `slope` is that of the product, bf16.
    pub(super) fn back<G: Gpu<Memory = M>>(
        &self,
        kernels: &Kernels<G>,
        space: &Space,
        changed: &Changed,
        slope: Address,
        into: Address,
    ) -> Result<()> {
        for pair in self.of(changed) {
            let places = self.low(kernels, space, changed, pair)?;
            let ([outputs, inputs], rank, rows) = (pair.shape, pair.rank, changed.rows);
            let (low, low_slope) = (Operand::new(space.low, rank), Operand::new(space.low_slope, rank));
            let slope = Operand::new(slope.after(pair.column * size_of::<bf16>()), changed.width);
            let x = Operand::new(input(&places, space, changed), inputs);
            let multiply = |a, b, out, sizes, scale, into| {
                kernels.gpu.gemm(&Gemm { a, b, out, sizes, batch: 1, scale, into })
            };
            let scale = pair.numbers.scale as f32;
            multiply(slope.turned(), low, places.b_slope, [outputs, rows, rank], scale, Into::Add)?;
            multiply(slope, places.b, low_slope, [rows, outputs, rank], scale, Into::SetBf16)?;
            multiply(low_slope.turned(), x, places.a_slope, [rank, rows, inputs], 1.0, Into::Add)?;
            let by_x = |out, into| {
                multiply(low_slope, places.a, Operand::new(out, inputs), [rows, rank, inputs], 1.0, into)
            };
            match places.draws {
                None => by_x(into, Into::Add)?,
                Some(draws) => {
                    by_x(space.dropped_slope, Into::Set)?;
                    kernels.add_dropped(space.dropped_slope, into, draws, rows * inputs)?;
                }
            }
        }
        Ok(())
    }
}

/// What a pair's A is given.
fn input(places: &Places, space: &Space, changed: &Changed) -> Address {
    if places.draws.is_some() { space.dropped } else { changed.x }
}
