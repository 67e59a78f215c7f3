//! The embeddings of recent pictures.

use std::sync::Arc;

use loupe_shared::pixels::Rgb8;

use crate::chat::Encoded;

/// Content hash of a picture's size and pixels.
pub(super) type PictureHash = blake3::Hash;

/// Hashes the pictures of a conversation. Large uploads take a while: nothing for the thread that decodes.
pub(super) fn hashes(encoded: &Encoded) -> Vec<PictureHash> {
    encoded.pictures.iter().map(|picture| hash(&picture.pixels)).collect()
}

fn hash(picture: &Rgb8) -> PictureHash {
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

    /// The embedding of a picture where it is known; it is then the latest.
    pub(super) fn get(&mut self, hash: PictureHash) -> Option<Embedding> {
        let known = self.kept.iter().position(|(known, _)| *known == hash)?;
        let picture = self.kept.remove(known);
        let embedding = picture.1.clone();
        self.kept.push(picture);
        Some(embedding)
    }

    /// Keeps an embedding as the latest; the oldest are forgotten where they are too many.
    pub(super) fn keep(&mut self, hash: PictureHash, embedding: Embedding) {
        self.kept.retain(|(known, _)| *known != hash);
        self.kept.push((hash, embedding));
        let mut bytes = 0;
        let fitting = self.kept.iter().rev().take_while(|(_, kept)| {
            let first = bytes == 0;
            bytes += size_of_val(kept.as_slice());
            first || bytes <= self.budget
        });
        let forgotten = self.kept.len() - fitting.count();
        self.kept.drain(..forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> PictureHash {
        blake3::hash(name.as_bytes())
    }

    #[test]
    fn what_is_known_is_given_and_the_oldest_forgotten() {
        let mut pictures = Pictures::new(3000 * size_of::<f32>());
        let mut computed = Vec::new();
        for (picture, numbers) in [("a", 1000), ("b", 1500), ("a", 1000), ("c", 2000), ("b", 1500)] {
            if pictures.get(name(picture)).is_none() {
                computed.push(picture);
                pictures.keep(name(picture), Arc::new(vec![0.0; numbers]));
            }
        }
        // b was the older one when c came.
        assert_eq!((computed, pictures.kept.len()), (vec!["a", "b", "c", "b"], 1));
    }

    #[test]
    fn a_picture_over_the_budget_is_kept_while_it_is_the_latest() {
        let mut pictures = Pictures::new(8);
        pictures.keep(name("large"), Arc::new(vec![0.0; 100]));
        assert!(pictures.get(name("large")).is_some());
        pictures.keep(name("small"), Arc::new(vec![0.0; 1]));
        assert!(pictures.get(name("large")).is_none());
    }
}
