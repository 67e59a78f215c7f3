//! The folder of pictures, each under the BLAKE3 hash of the bytes that came.

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use loupe_shared::ids::ImageId;
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::ImageStored;
use tokio::sync::Semaphore;

use super::decode::{Decoded, ImageError, decode, dimensions};

/// Pictures decoded at the same time: each may take some hundred megabytes.
const DECODERS: usize = 2;

/// Content-addressed pictures in a folder: `ab/abcdef…`.
#[derive(Debug, Clone)]
pub struct ImageFolder {
    root: PathBuf,
    decoders: Arc<Semaphore>,
}

/// Why a picture could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The bytes are not taken.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No such picture is stored.
    #[error("there is no picture {0}")]
    Unknown(ImageId),
    /// The folder cannot be read or written.
    #[error("the picture folder cannot be used: {0}")]
    Io(#[from] io::Error),
    /// Something inside failed.
    #[error("the picture could not be worked on: {0}")]
    Internal(String),
}

impl ImageFolder {
    /// The folder at `root`; it is created with the first picture.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, decoders: Arc::new(Semaphore::new(DECODERS)) }
    }

    /// Keeps an uploaded picture. The bytes are kept as they came, except where they carry metadata: then the upright
    /// pixels are kept instead, so that no place or name is ever served to others.
    ///
    /// # Errors
    /// [`FolderError`].
    pub async fn put(&self, bytes: bytes::Bytes) -> Result<ImageStored, FolderError> {
        let folder = self.clone();
        self.blocking(move || {
            let image_id = content_id(&bytes);
            let path = folder.path(&image_id);
            if path.exists() {
                let (width, height) = dimensions(&std::fs::read(path)?)?;
                return Ok(ImageStored { image_id, width, height });
            }
            let Decoded { pixels, has_metadata } = decode(&bytes)?;
            if has_metadata {
                write_atomically(&path, &encode_png(&pixels)?)?;
            } else {
                write_atomically(&path, &bytes)?;
            }
            Ok(ImageStored { image_id, width: pixels.width(), height: pixels.height() })
        })
        .await
    }

    /// Keeps pixels, as PNG.
    ///
    /// # Errors
    /// [`FolderError`].
    pub async fn put_pixels(&self, pixels: Arc<Rgb8>) -> Result<ImageId, FolderError> {
        let folder = self.clone();
        self.blocking(move || {
            let bytes = encode_png(&pixels)?;
            let id = content_id(&bytes);
            let path = folder.path(&id);
            if !path.exists() {
                write_atomically(&path, &bytes)?;
            }
            Ok(id)
        })
        .await
    }

    /// A picture's file.
    ///
    /// # Errors
    /// [`FolderError`].
    pub async fn read(&self, id: &ImageId) -> Result<Vec<u8>, FolderError> {
        match tokio::fs::read(self.path(id)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FolderError::Unknown(id.clone())),
            read => Ok(read?),
        }
    }

    /// A picture's upright pixels.
    ///
    /// # Errors
    /// [`FolderError`].
    pub async fn load(&self, id: &ImageId) -> Result<Rgb8, FolderError> {
        let bytes = self.read(id).await?;
        self.blocking(move || Ok(decode(&bytes)?.pixels)).await
    }

    /// Whether a picture is stored.
    #[must_use]
    pub fn contains(&self, id: &ImageId) -> bool {
        self.path(id).exists()
    }

    /// Removes a picture, if it is there.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub async fn remove(&self, id: &ImageId) -> Result<(), FolderError> {
        match tokio::fs::remove_file(self.path(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn path(&self, id: &ImageId) -> PathBuf {
        self.root.join(&id.as_str()[..2]).join(id.as_str())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, FolderError> + Send + 'static,
    ) -> Result<T, FolderError> {
        let internal = |error: &dyn std::error::Error| FolderError::Internal(error.to_string());
        let permit = self.decoders.clone().acquire_owned().await.map_err(|error| internal(&error))?;
        let work = move || {
            let result = work();
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))?
    }
}

/// Encodes pixels as PNG.
///
/// # Errors
/// [`FolderError::Internal`] when the encoder fails.
pub fn encode_png(pixels: &Rgb8) -> Result<Vec<u8>, FolderError> {
    let mut bytes = Cursor::new(Vec::new());
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(pixels.data(), pixels.width(), pixels.height(), image::ExtendedColorType::Rgb8)
        .map_err(|error| FolderError::Internal(error.to_string()))?;
    Ok(bytes.into_inner())
}

fn content_id(bytes: &[u8]) -> ImageId {
    ImageId::from_hash(blake3::hash(bytes).as_bytes())
}

/// Readers see the whole file or none, also after a crash.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a picture's path has no folder"))?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Rgb8 {
        Rgb8::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap()
    }

    #[tokio::test]
    async fn a_picture_comes_back_and_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ImageFolder::new(dir.path().join("images"));
        let bytes = bytes::Bytes::from(encode_png(&picture()).unwrap());
        let stored = folder.put(bytes.clone()).await.unwrap();
        assert_eq!((stored.width, stored.height), (2, 1));
        assert_eq!(stored.image_id.as_str(), blake3::hash(&bytes).to_hex().as_str());
        assert_eq!(folder.put(bytes.clone()).await.unwrap(), stored);
        assert_eq!(folder.read(&stored.image_id).await.unwrap(), bytes);
        assert_eq!(folder.load(&stored.image_id).await.unwrap(), picture());
        folder.remove(&stored.image_id).await.unwrap();
        assert!(matches!(folder.read(&stored.image_id).await, Err(FolderError::Unknown(_))));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ImageFolder::new(dir.path().join("images"));
        assert!(folder.put(bytes::Bytes::from_static(b"<html>")).await.is_err());
        assert!(!dir.path().join("images").exists());
    }
}
