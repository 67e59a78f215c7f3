//! A GPU with its program, and how what it computes is held against the arithmetic.

use half::bf16;
use half::slice::HalfFloatSliceExt;
use loupe_mllm::Device;
use loupe_mllm::cuda::gpu::{Address, Gpu, Memory, filled};
use loupe_mllm::cuda::kernels::{Heads, Kernels, SOURCE};

pub(super) type Tensor = candle_core::Tensor;

pub(super) const EPS: f32 = 1e-6;
/// Grouped heads as in the 7B model, and narrow ones.
pub(super) const WIDE: Heads = Heads { kv_heads: 2, group: 7, width: 128 };
pub(super) const NARROW: Heads = Heads { kv_heads: 2, group: 3, width: 32 };
/// Heads of a vision tower; the widths of the hub's.
pub(super) const VISION: Heads = Heads { kv_heads: 2, group: 1, width: 80 };

/// Makes tests of functions that take how a GPU is opened: each runs on the emulator and, with the feature `cuda`, on
/// the first GPU. What cannot be run here says so.
macro_rules! on_each_gpu {
    ($($test:ident),+ $(,)?) => {
        mod emulated {
            $(#[test]
            fn $test() {
                if crate::cuda::emulator::is_possible() {
                    super::$test(crate::cuda::emulator::Emulator::default);
                }
            })+
        }

        #[cfg(feature = "cuda")]
        mod on_a_gpu {
            use loupe_mllm::cuda::driver::Driver;

            $(#[test]
            fn $test() {
                match Driver::open(0) {
                    Ok(_) => super::$test(|| Driver::open(0).expect("the GPU, again")),
                    Err(error) => eprintln!("SKIPPED: {error}"),
                }
            })+
        }
    };
}
pub(super) use on_each_gpu;

/// A GPU with its program.
pub(super) struct Bench<G: Gpu> {
    pub(super) gpu: G,
    pub(super) program: G::Program,
    pub(super) heads: Heads,
}

impl<G: Gpu> Bench<G> {
    pub(super) fn new(gpu: G, heads: Heads) -> Self {
        let program = gpu.program(SOURCE, &heads.defines()).expect("kernels that compile");
        Self { gpu, program, heads }
    }

    pub(super) fn kernels(&self) -> Kernels<'_, G> {
        Kernels { gpu: &self.gpu, program: &self.program, heads: self.heads }
    }

    pub(super) fn f32(&self, values: &[f32]) -> G::Memory {
        filled(&self.gpu, values).expect("memory")
    }

    pub(super) fn i32(&self, values: &[i32]) -> G::Memory {
        filled(&self.gpu, values).expect("memory")
    }

    pub(super) fn bf16(&self, values: &[f32]) -> G::Memory {
        let narrow: Vec<bf16> = values.iter().copied().map(bf16::from_f32).collect();
        filled(&self.gpu, narrow.reinterpret_cast()).expect("memory")
    }

    pub(super) fn read_f32(&self, from: Address, count: usize) -> Vec<f32> {
        let mut values = vec![0f32; count];
        self.gpu.download(from, bytemuck::cast_slice_mut(&mut values)).expect("memory");
        values
    }

    pub(super) fn read_i32(&self, from: &G::Memory, count: usize) -> Vec<i32> {
        let mut values = vec![0i32; count];
        self.gpu.download(from.address(), bytemuck::cast_slice_mut(&mut values)).expect("memory");
        values
    }

    pub(super) fn read_bf16(&self, from: &G::Memory, count: usize) -> Vec<f32> {
        let mut bits = vec![0u16; count];
        self.gpu.download(from.address(), bytemuck::cast_slice_mut(&mut bits)).expect("memory");
        bits.into_iter().map(|bits| bf16::from_bits(bits).to_f32()).collect()
    }

    pub(super) fn room(&self, bytes: usize) -> G::Memory {
        self.gpu.zeroed(bytes).expect("memory")
    }
}

/// Numbers around 0 that bf16 holds exactly, so that kernel and definition begin with the same.
pub(super) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let number = |i: u32| {
        let bits = i.wrapping_add(seed.wrapping_mul(0x9e37)).wrapping_mul(2_654_435_761).rotate_left(13);
        (bits.wrapping_mul(0x85eb_ca6b) >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count as u32).map(|i| bf16::from_f32(number(i)).to_f32()).collect()
}

/// Holds numbers against others; `rounding` is a part of their size.
pub(super) fn assert_close(got: &[f32], expected: &[f32], rounding: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let most = rounding * (1.0 + expected.abs());
        assert!((got - expected).abs() <= most, "{what} at {at}: {got}, expected {expected}");
    }
}

/// What rounding a result to bf16 may change, and what sums in another order may.
pub(super) const BF16: f32 = 1.0 / 256.0;
pub(super) const SUMS: f32 = 1e-4;

pub(super) fn tensor<const N: usize>(values: &[f32], shape: [usize; N]) -> Tensor {
    Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).expect("a tensor")
}

pub(super) fn values(tensor: candle_core::Result<Tensor>) -> Vec<f32> {
    tensor.and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}
