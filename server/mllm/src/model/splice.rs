//! Picture tokens put in their places among the words.

use candle_core::{Result, Tensor, bail};

/// Replaces the rows of `words` `[n, hidden]` where `is_image` holds by the rows of `pictures` `[m, hidden]`, in order;
/// gradients flow into both. A batch is flattened to one row of tokens first.
///
/// # Errors
/// When the number of marked rows is not `m`, or `is_image` is not `n` long.
pub fn splice(words: &Tensor, pictures: &Tensor, is_image: &[bool]) -> Result<Tensor> {
    let marked = is_image.iter().filter(|image| **image).count();
    if marked != pictures.dim(0)? || is_image.len() != words.dim(0)? {
        bail!(
            "{marked} of {} tokens are picture tokens, but there are {} picture embeddings for {} tokens",
            is_image.len(),
            pictures.dim(0)?,
            words.dim(0)?
        );
    }
    let (mut parts, mut at, mut seen) = (Vec::new(), 0, 0);
    for run in is_image.chunk_by(|a, b| a == b) {
        if run[0] {
            parts.push(pictures.narrow(0, seen, run.len())?);
            seen += run.len();
        } else {
            parts.push(words.narrow(0, at, run.len())?);
        }
        at += run.len();
    }
    Tensor::cat(&parts, 0)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn pictures_take_their_places_in_order() -> Result<()> {
        let words = Tensor::new(&[[1f32], [2.], [3.], [4.], [5.]], &Device::Cpu)?;
        let pictures = Tensor::new(&[[-1f32], [-2.], [-3.]], &Device::Cpu)?;
        let spliced = splice(&words, &pictures, &[false, true, true, false, true])?;
        assert_eq!(spliced.flatten_all()?.to_vec1::<f32>()?, [1., -1., -2., 4., -3.]);
        assert!(splice(&words, &pictures, &[false, true, true, false, false]).is_err());
        Ok(())
    }
}
