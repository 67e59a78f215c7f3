//! The surprises of a batch's targets, and the gradient of a loss over them; the scores of a few targets are held at once.

use std::ops::Range;

use super::kernels::{NormBack, Targets};
use super::pass::Pass;
use super::space::{SAID, SCORED};
use crate::cuda::gpu::{Address, Gemm, Gpu, Into, Memory, Operand};
use crate::cuda::kernels::Norm;
use crate::error::Result;
use crate::ops::Term;
use crate::tuning::Foretold;

/// What comes out of the last layer, x `[rows, hidden]`, to be scored.
pub(super) struct Scored<'a, 'b, G: Gpu> {
    pub(super) pass: &'a Pass<'b, G>,
    pub(super) x: Address,
}

impl<G: Gpu> Scored<'_, '_, G> {
    /// All targets' surprises, and the sum of their terms; with `learns`, the gradient of that sum by x is in
    /// `space.slope`.
    pub(super) fn all(&self, term: &dyn Fn(usize, f32) -> Term, learns: bool) -> Result<(Foretold, f64)> {
        let count = self.pass.reading.targets.len();
        let (mut words, mut loss) = (Foretold::default(), 0.0);
        for start in (0..count).step_by(SCORED) {
            let rows = start..(start + SCORED).min(count);
            let targets = self.scores(&rows)?;
            let said = self.said(rows.len())?;
            let terms: Vec<Term> = rows.clone().zip(&said).map(|(row, said)| term(row, said[0])).collect();
            loss += terms.iter().map(|term| f64::from(term.value)).sum::<f64>();
            words.rows.extend(said.iter().map(|said| said[0]));
            words.right.extend(said.iter().map(|said| said[3] > 0.0));
            if learns {
                let slopes: Vec<f32> = terms.iter().map(|term| term.slope).collect();
                self.back(&rows, &targets, &slopes)?;
            }
        }
        Ok((words, loss))
    }

    /// The rows that foretell these targets.
    fn order(&self, rows: &Range<usize>) -> Address {
        self.pass.space.order.after(rows.start * size_of::<i32>())
    }

    fn scores(&self, rows: &Range<usize>) -> Result<Targets> {
        let Pass { decoder, kernels, space, reading, .. } = self.pass;
        let (hidden, classes) = (decoder.config.hidden_size, decoder.config.vocab_size);
        kernels.rms_norm(&Norm {
            x: self.x,
            bias: Address::NULL,
            weight: decoder.weights.norm.address(),
            order: self.order(rows),
            out: space.head,
            rows: rows.len(),
            width: hidden,
            eps: decoder.config.rms_norm_eps,
        })?;
        kernels.gpu.gemm(&Gemm {
            a: Operand::new(space.head, hidden),
            b: Operand::new(decoder.weights.output(), hidden).turned(),
            out: Operand::new(space.logits, classes),
            sizes: [rows.len(), hidden, classes],
            batch: 1,
            scale: 1.0 / reading.temperature,
            into: Into::Set,
        })?;
        let targets = Targets {
            scores: space.logits,
            targets: space.targets.after(rows.start * size_of::<i32>()),
            said: space.said,
            rows: rows.len(),
            classes,
        };
        kernels.surprise(&targets)?;
        Ok(targets)
    }

    fn said(&self, rows: usize) -> Result<Vec<[f32; SAID]>> {
        let mut said = vec![[0f32; SAID]; rows];
        self.pass.kernels.gpu.download(self.pass.space.said, bytemuck::cast_slice_mut(&mut said))?;
        Ok(said)
    }

    fn back(&self, rows: &Range<usize>, targets: &Targets, slopes: &[f32]) -> Result<()> {
        let Pass { decoder, kernels, space, reading, .. } = self.pass;
        let (hidden, classes) = (decoder.config.hidden_size, decoder.config.vocab_size);
        kernels.gpu.upload(space.said_slope, bytemuck::cast_slice(slopes))?;
        kernels.surprise_back(targets, space.said_slope, space.logits_slope)?;
        kernels.gpu.gemm(&Gemm {
            a: Operand::new(space.logits_slope, classes),
            b: Operand::new(decoder.weights.output(), hidden),
            out: Operand::new(space.head_slope, hidden),
            sizes: [rows.len(), classes, hidden],
            batch: 1,
            scale: 1.0 / reading.temperature,
            into: Into::Set,
        })?;
        kernels.norm_back(&NormBack {
            x: self.x,
            weight: decoder.weights.norm.address(),
            slopes: space.head_slope,
            order: self.order(rows),
            into: space.slope,
            rows: rows.len(),
            width: hidden,
            eps: decoder.config.rms_norm_eps,
        })
    }
}
