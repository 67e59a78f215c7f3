//! Attention over blocks.

use candle_core::Result;
use rayon::prelude::*;

use super::batch::{Batch, Segment};
use super::kv::{BLOCK, KvPool};
use crate::ops::gemm::{Into, Mat, Threads, gemm};
use crate::ops::rows::dot;
use crate::ops::softmax;

/// Queries of a segment up to which each is computed by itself: few queries would leave a matrix product idle, and a
/// token's result does not depend on how many come with it.
pub(crate) const FEW: usize = 8;
/// Queries whose scores are held at once.
const QUERIES: usize = 64;

/// One key head of one segment, with the query heads that share it.
struct Task<'a> {
    segment: &'a Segment,
    /// Place of the segment's first token in the batch.
    first: usize,
    kv_head: usize,
    /// `[tokens, group, head width]`
    out: &'a mut [f32],
}

/// What the tasks read.
struct Given<'a> {
    /// Rows of `stride` numbers that begin with the queries `[heads, head width]`.
    queries: &'a [f32],
    stride: usize,
    group: usize,
    head_dim: usize,
    scale: f32,
    pool: &'a KvPool,
    layer: usize,
}

/// Mixes values for all tokens of a batch: `[tokens, width]`, where `width` is that of all query heads.
pub(super) fn attend(
    qkv: &[f32],
    width: usize,
    stride: usize,
    batch: &Batch,
    pool: &KvPool,
    layer: usize,
) -> Result<Vec<f32>> {
    let (kv_heads, head_dim) = (pool.kv_heads(), pool.head_dim());
    let group = width / head_dim / kv_heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let given = Given { queries: qkv, stride, group, head_dim, scale, pool, layer };
    let mut parts = vec![0.0; batch.len() * width];
    tasks(batch, kv_heads, group * head_dim, &mut parts)
        .into_par_iter()
        .try_for_each(|task| if task.segment.tokens <= FEW { given.few(task) } else { given.many(task) })?;
    Ok(by_token(batch, kv_heads, group * head_dim, &parts))
}

/// The tasks of a batch, each with its own part of `parts`.
fn tasks<'a>(batch: &'a Batch, kv_heads: usize, part: usize, mut parts: &'a mut [f32]) -> Vec<Task<'a>> {
    let mut tasks = Vec::with_capacity(batch.segments.len() * kv_heads);
    let mut first = 0;
    for segment in &batch.segments {
        for kv_head in 0..kv_heads {
            let (out, rest) = parts.split_at_mut(segment.tokens * part);
            parts = rest;
            tasks.push(Task { segment, first, kv_head, out });
        }
        first += segment.tokens;
    }
    tasks
}

/// Brings the tasks' results, `[segment][kv heads, tokens, part]`, into the order `[tokens, kv heads, part]`.
fn by_token(batch: &Batch, kv_heads: usize, part: usize, parts: &[f32]) -> Vec<f32> {
    if batch.segments.iter().all(|segment| segment.tokens == 1) {
        return parts.to_vec();
    }
    let mut out = vec![0.0; parts.len()];
    let mut at = 0;
    for segment in &batch.segments {
        let size = segment.tokens * kv_heads * part;
        let (parts, out) = (&parts[at..at + size], &mut out[at..at + size]);
        for (head, rows) in parts.chunks_exact(segment.tokens * part).enumerate() {
            for (token, row) in rows.chunks_exact(part).enumerate() {
                let to = (token * kv_heads + head) * part;
                out[to..to + part].copy_from_slice(row);
            }
        }
        at += size;
    }
    out
}

impl Given<'_> {
    /// The query of a token `[head width]`.
    fn query(&self, token: usize, head: usize) -> &[f32] {
        let at = token * self.stride + head * self.head_dim;
        &self.queries[at..at + self.head_dim]
    }

    /// Query by query, block by block.
    fn few(&self, task: Task) -> Result<()> {
        let Task { segment, first, kv_head, out } = task;
        let width = self.head_dim;
        let mut weights = vec![0.0; segment.total()];
        for (nth, out) in out.chunks_exact_mut(width).enumerate() {
            let (token, head) = (nth / self.group, kv_head * self.group + nth % self.group);
            let query = self.query(first + token, head);
            let weights = &mut weights[..segment.before + token + 1];
            for (block, weights) in segment.blocks.iter().zip(weights.chunks_mut(BLOCK)) {
                let keys = self.pool.keys(self.layer, *block, kv_head);
                for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(width)) {
                    *weight = dot(query, key) * self.scale;
                }
            }
            softmax(weights);
            for (block, weights) in segment.blocks.iter().zip(weights.chunks(BLOCK)) {
                let values = self.pool.values(self.layer, *block, kv_head);
                for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
                    for (out, value) in out.iter_mut().zip(value) {
                        *out += weight * value;
                    }
                }
            }
        }
        Ok(())
    }

    /// Matrix products over keys and values that are brought together.
    fn many(&self, task: Task) -> Result<()> {
        let Task { segment, first, kv_head, out } = task;
        let (width, total) = (self.head_dim, segment.total());
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for block in &segment.blocks {
            keys.extend_from_slice(self.pool.keys(self.layer, *block, kv_head));
            values.extend_from_slice(self.pool.values(self.layer, *block, kv_head));
        }
        let mut weights = vec![0.0; QUERIES * total];
        for head in 0..self.group {
            for from in (0..segment.tokens).step_by(QUERIES) {
                let rows = QUERIES.min(segment.tokens - from);
                let columns = segment.before + from + rows;
                let weights = &mut weights[..rows * columns];
                let start = (first + from) * self.stride + (kv_head * self.group + head) * width;
                let queries = Mat::strided(&self.queries[start..], rows, width, self.stride);
                let seen = Mat::new(&keys, columns, width);
                gemm(weights, columns, Into::Set, self.scale, queries, seen.t(), Threads::One)?;
                for (row, weights) in weights.chunks_exact_mut(columns).enumerate() {
                    let (seen, hidden) = weights.split_at_mut(segment.before + from + row + 1);
                    softmax(seen);
                    hidden.fill(0.0);
                }
                let stride = self.group * width;
                let out = &mut out[from * stride + head * width..];
                let weights = Mat::new(weights, rows, columns);
                gemm(out, stride, Into::Set, 1.0, weights, Mat::new(&values, columns, width), Threads::One)?;
            }
        }
        Ok(())
    }
}
