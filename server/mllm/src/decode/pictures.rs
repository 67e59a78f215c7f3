//! The embeddings of recent pictures.

use std::sync::Arc;

use loupe_shared::pixels::Rgb8;

/// Content hash of a picture's size and pixels.
pub(super) type PictureHash = blake3::Hash;

/// Hashes a picture.
pub(super) fn hash(picture: &Rgb8) -> PictureHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&picture.width().to_le_bytes());
    hasher.update(&picture.height().to_le_bytes());
    hasher.update(picture.data());
    hasher.finalize()
}

/// `[tokens, hidden]`
pub(super) type Embedding = Arc<Vec<f32>>;

/// Embeddings by content, the latest last.
#[derive(Debug)]
pub(super) struct Pictures {
    kept: Vec<(PictureHash, Embedding)>,
    /// Bytes that they may have together, the latest one aside.
    budget: usize,
}

impl Pictures {
    pub(super) fn new(budget: usize) -> Self {
        Self { kept: Vec::new(), budget }
    }

    /// The embedding of a picture, from memory or computed now.
    pub(super) fn get<E>(
        &mut self,
        hash: PictureHash,
        compute: impl FnOnce() -> Result<Vec<f32>, E>,
    ) -> Result<Embedding, E> {
        let known = self.kept.iter().position(|(known, _)| *known == hash);
        let embedding = match known {
            Some(index) => self.kept.remove(index).1,
            None => Arc::new(compute()?),
        };
        self.kept.push((hash, embedding.clone()));
        let mut bytes = 0;
        let fitting = self.kept.iter().rev().take_while(|(_, kept)| {
            let first = bytes == 0;
            bytes += size_of_val(kept.as_slice());
            first || bytes <= self.budget
        });
        let forgotten = self.kept.len() - fitting.count();
        self.kept.drain(..forgotten);
        Ok(embedding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_computed_once_and_the_oldest_forgotten() {
        let mut pictures = Pictures::new(3000 * size_of::<f32>());
        let mut computed = 0;
        for (name, numbers) in [("a", 1000), ("b", 1500), ("a", 1000), ("c", 2000), ("b", 1500)] {
            let seen: Result<Embedding, ()> = pictures.get(blake3::hash(name.as_bytes()), || {
                computed += 1;
                Ok(vec![0.0; numbers])
            });
            assert_eq!(seen.unwrap().len(), numbers);
        }
        // b was the older one when c came.
        assert_eq!((computed, pictures.kept.len()), (4, 1));
    }

    #[test]
    fn a_picture_over_the_budget_is_kept_while_it_is_the_latest() {
        let mut pictures = Pictures::new(8);
        let compute = || Ok::<_, ()>(vec![0.0; 100]);
        pictures.get(blake3::hash(b"large"), compute).unwrap();
        let again = pictures.get(blake3::hash(b"large"), || Err(()));
        assert!(again.is_ok());
    }
}
