//! Operations over rows of plain numbers, for decoding.

use rayon::prelude::*;

use super::activation::swiglu_row;
pub(crate) use super::norm::dot;
use super::norm::norm_row;

/// Numbers that one thread goes through rather than waking up another for a part of them.
const ALONE: usize = 1 << 15;

/// `x += y`
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Each row of `x` over its root mean square, times `w`.
pub(crate) fn rms_norm(x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    by_rows(&mut y, x, w.len(), w.len(), |y, x| norm_row(y, x, w, eps));
    y
}

/// `silu(gate) * up` of rows that hold `inner` numbers of gate and then as many of up.
pub(crate) fn swiglu_in_halves(gate_up: &[f32], inner: usize) -> Vec<f32> {
    let mut y = vec![0.0; gate_up.len() / 2];
    by_rows(&mut y, gate_up, inner, 2 * inner, |y, row| {
        let (gate, up) = row.split_at(inner);
        swiglu_row(y, gate, up);
    });
    y
}

/// Runs `f` over the rows of `y` and `x`, in threads where there is much to do.
fn by_rows(y: &mut [f32], x: &[f32], to: usize, from: usize, f: impl Fn(&mut [f32], &[f32]) + Sync) {
    if x.len() <= ALONE {
        return y.chunks_exact_mut(to).zip(x.chunks_exact(from)).for_each(|(y, x)| f(y, x));
    }
    y.par_chunks_exact_mut(to)
        .zip(x.par_chunks_exact(from))
        .with_min_len((ALONE / 2).div_ceil(from))
        .for_each(|(y, x)| f(y, x));
}
