//! Matrices as ggml's files hold them.

use std::borrow::Cow;

use candle_core::{Result, bail};

use super::q4::{self, Q4};
use super::q6;
use super::q8::{self, Q8};
use super::{Matrix, Values};

/// How ggml's files hold matrices of few bits: in blocks that lie one after the other, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// 8 bits a number and a scale for every 32.
    Q8_0,
    /// 4 bits a number, a scale and a min for every 32.
    Q4K,
    /// 6 bits a number and a scale for every 16.
    Q6K,
}

impl Blocks {
    /// Numbers of a block; rows hold whole blocks.
    #[must_use]
    pub fn numbers(self) -> usize {
        match self {
            Self::Q8_0 => q8::GROUP,
            Self::Q4K => q4::BLOCK,
            Self::Q6K => q6::BLOCK,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => q8::GROUP_BYTES,
            Self::Q4K => q4::BLOCK_BYTES,
            Self::Q6K => q6::BLOCK_BYTES,
        }
    }

    /// The values of a matrix that is held so, exactly.
    ///
    /// # Errors
    /// When the rows do not hold whole blocks, or the bytes do not fill the shape.
    pub fn widened(self, bytes: &[u8], shape: [usize; 2]) -> Result<Vec<f32>> {
        self.check(bytes, shape)?;
        match self {
            Self::Q6K => Ok(q6::widened(bytes)),
            _ => Ok(Matrix::from_blocks(self, bytes, shape)?.to_f32()),
        }
    }

    /// Gives the bytes of a row.
    fn check(self, bytes: &[u8], [rows, columns]: [usize; 2]) -> Result<usize> {
        let row = columns / self.numbers() * self.bytes();
        let fits = columns.is_multiple_of(self.numbers()) && rows.checked_mul(row) == Some(bytes.len());
        if !fits || bytes.is_empty() {
            bail!(
                "{} bytes of {self:?} do not fill a matrix of {rows} rows and {columns} columns",
                bytes.len()
            );
        }
        Ok(row)
    }
}

impl Matrix {
    /// A matrix as ggml's files hold it. Its numbers are kept as they are; those of Q6_K, which is only read, are
    /// rounded to eight bits.
    ///
    /// # Errors
    /// When the rows do not hold whole blocks, or the bytes do not fill the shape.
    pub fn from_blocks(blocks: Blocks, bytes: &[u8], [rows, columns]: [usize; 2]) -> Result<Self> {
        let row = blocks.check(bytes, [rows, columns])?;
        let values = match blocks {
            Blocks::Q8_0 => Values::Q8(Q8::from_blocks(rows, columns, bytes)),
            Blocks::Q4K => Values::Q4(Q4::from_blocks(rows, columns, bytes)),
            Blocks::Q6K => Values::Q8(Q8::round(rows, columns, |nth, part| {
                let blocks = part.start / q6::BLOCK * q6::BLOCK_BYTES..part.end / q6::BLOCK * q6::BLOCK_BYTES;
                Cow::Owned(q6::widened(&bytes[nth * row..][blocks]))
            })),
        };
        Ok(Self { rows, columns, values })
    }
}
