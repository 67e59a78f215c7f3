//! Number formats of GGUF files.

use std::fmt;

use candle_core::{Result, bail};
use half::{bf16, f16};

use crate::checkpoint::store::Kept;
use crate::lm::Matrix;
use crate::lm::matrix::Blocks;

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F32,
    F16,
    Bf16,
    Blocks(Blocks),
    /// One that is not read here, by its number in ggml.
    Other(u32),
}

impl Dtype {
    /// What is read here, for messages.
    pub(super) const SUPPORTED: &str = "F32, F16, BF16, Q8_0, Q4_K or Q6_K";

    /// The format of a number in ggml.
    pub(super) fn numbered(number: u32) -> Self {
        match number {
            0 => Self::F32,
            1 => Self::F16,
            8 => Self::Blocks(Blocks::Q8_0),
            12 => Self::Blocks(Blocks::Q4K),
            14 => Self::Blocks(Blocks::Q6K),
            30 => Self::Bf16,
            other => Self::Other(other),
        }
    }

    /// Numbers that are stored together, and their bytes; nothing for formats that are not read here.
    pub(super) fn block(self) -> Option<(usize, usize)> {
        match self {
            Self::F32 => Some((1, 4)),
            Self::F16 | Self::Bf16 => Some((1, 2)),
            Self::Blocks(blocks) => Some((blocks.numbers(), blocks.bytes())),
            Self::Other(_) => None,
        }
    }

    /// The values of a tensor's bytes.
    pub(super) fn widened(self, bytes: &[u8], shape: &[usize]) -> Result<Vec<f32>> {
        let columns = shape.last().copied().unwrap_or(1).max(1);
        Ok(match self {
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => each(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::Blocks(blocks) => {
                blocks.widened(bytes, [shape.iter().product::<usize>() / columns, columns])?
            }
            Self::Other(_) => bail!("numbers of {self} are not read"),
        })
    }

    /// A matrix of a tensor's bytes: bf16 and blocks stay as they are, everything else is widened to f32.
    pub(super) fn matrix(self, bytes: &[u8], shape: [usize; 2]) -> Result<Matrix> {
        match self {
            Self::Bf16 => Matrix::bf16(each(bytes, bf16::from_le_bytes), shape),
            Self::Blocks(blocks) => Matrix::from_blocks(blocks, bytes, shape),
            _ => Matrix::f32(self.widened(bytes, &shape)?, shape),
        }
    }

    /// In which numbers [`Self::matrix`] gives a matrix; nothing for formats that are not read here.
    pub(super) fn kept(self) -> Option<Kept> {
        match self {
            Self::F32 | Self::F16 => Some(Kept::F32),
            Self::Bf16 => Some(Kept::Bf16),
            Self::Blocks(Blocks::Q8_0 | Blocks::Q6K) => Some(Kept::EightBits),
            Self::Blocks(Blocks::Q4K) => Some(Kept::FourBits),
            Self::Other(_) => None,
        }
    }
}

fn each<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().copied().map(number).collect()
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Blocks(Blocks::Q8_0) => "Q8_0",
            Self::Blocks(Blocks::Q4K) => "Q4_K",
            Self::Blocks(Blocks::Q6K) => "Q6_K",
            Self::Other(2) => "Q4_0",
            Self::Other(3) => "Q4_1",
            Self::Other(6) => "Q5_0",
            Self::Other(7) => "Q5_1",
            Self::Other(10) => "Q2_K",
            Self::Other(11) => "Q3_K",
            Self::Other(13) => "Q5_K",
            Self::Other(20) => "IQ4_NL",
            Self::Other(23) => "IQ4_XS",
            Self::Other(number) => return write!(f, "ggml's number format {number}"),
        };
        f.write_str(name)
    }
}
