//! Weights as llama.cpp stores them: the language model in one GGUF file, the vision tower in another (its `mmproj`).
//!
//! - `header`: what a file says of its tensors, checked.
//! - `dtype`: number formats.
//! - `names`: which tensors make up a weight.

mod dtype;
mod header;
mod names;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};

use self::dtype::Dtype;
use self::header::{Entry, Flaw, Header};
use self::names::{Join, Pieces};
use super::files::{Files, ReadSeek};
use super::store::{Kept, Source};
use crate::error::{Error, Result};
use crate::lm::Matrix;

const EXTENSION: &str = ".gguf";
/// What the language model's file calls its architecture.
const LANGUAGE: &str = "qwen2vl";
/// What the vision tower's file calls its own.
const VISION: &str = "clip";
/// The kind of vision tower.
const PROJECTOR: &str = "qwen2.5vl_merger";
/// Files of the original checkpoint without which a model cannot be used, alternatives together.
const COMPANIONS: [&[&str]; 3] =
    [&["config.json"], &["tokenizer.json"], &["preprocessor_config.json", "processor_config.json"]];

/// Checks that a folder with GGUF files has the small files of the original checkpoint too.
///
/// # Errors
/// [`Error::MissingFile`] for the first that is missing.
pub(super) fn check_companions(files: &Files) -> Result<()> {
    if files.ending_in(EXTENSION)?.is_empty() {
        return Ok(());
    }
    let missing = COMPANIONS.iter().find(|names| !names.iter().any(|name| files.has(name)));
    match missing.and_then(|names| names.first()) {
        None => Ok(()),
        Some(name) => Err(Error::MissingFile {
            file: files.path(name),
            expected: "put config.json, tokenizer.json, preprocessor_config.json and chat_template.json of the \
                       original checkpoint beside the .gguf: shape, tokenizer and picture settings are read from them",
        }),
    }
}

/// All GGUF files of a folder.
pub(super) struct Ggufs {
    files: Vec<Gguf>,
    /// The file and the tensor in it.
    places: HashMap<String, (usize, Entry)>,
}

struct Gguf {
    path: PathBuf,
    architecture: String,
    reader: Mutex<Box<dyn ReadSeek>>,
}

impl Ggufs {
    /// Opens the folder's GGUF files; nothing where there is none.
    ///
    /// # Errors
    /// When a file is damaged or of another model, or two hold the same tensor.
    pub(super) fn open(folder: &Files) -> Result<Option<Self>> {
        let mut files = Vec::new();
        let mut places: HashMap<String, (usize, Entry)> = HashMap::new();
        for (number, name) in folder.ending_in(EXTENSION)?.iter().enumerate() {
            let (file, tensors) = Gguf::open(folder, name)?;
            for (tensor, entry) in tensors {
                match places.entry(tensor) {
                    Place::Vacant(place) => place.insert((number, entry)),
                    Place::Occupied(place) => {
                        let other = &files.get(place.get().0).unwrap_or(&file).path;
                        return Err(Error::BadFile {
                            problem: format!(
                                "it holds tensor {}, which {} holds too",
                                place.key(),
                                other.display()
                            ),
                            file: file.path,
                            expected: "one language model and one vision tower in the folder".into(),
                        });
                    }
                };
            }
            files.push(file);
        }
        Ok(if files.is_empty() { None } else { Some(Self { files, places }) })
    }

    /// Checks that there is a language model and a vision tower.
    ///
    /// # Errors
    /// [`Error::MissingFile`] for the one that is missing.
    pub(super) fn check_complete(&self, folder: &Files) -> Result<()> {
        let parts = [
            (
                LANGUAGE,
                "model.gguf",
                "the language model as llama.cpp writes it, or its weights in safetensors",
            ),
            (VISION, "mmproj.gguf", "the vision tower as llama.cpp writes it, or its weights in safetensors"),
        ];
        for (architecture, name, expected) in parts {
            if !self.files.iter().any(|file| file.architecture == architecture) {
                return Err(Error::MissingFile { file: folder.path(name), expected });
            }
        }
        Ok(())
    }

    /// Finds the tensors of a weight under whichever names it has, and their shape each.
    fn find(&self, name: &str, shape: &[usize]) -> Option<(Pieces, Vec<usize>)> {
        let held = |pieces: &Pieces| pieces.tensors.iter().any(|tensor| self.places.contains_key(tensor));
        let pieces = names::pieces(name).into_iter().find(held)?;
        let mut each = shape.to_vec();
        match pieces.join {
            Join::Rows => *each.first_mut()? /= pieces.tensors.len(),
            Join::Frames if each.len() > names::FRAMES_AT => drop(each.remove(names::FRAMES_AT)),
            Join::Frames => return None,
        }
        Some((pieces, each))
    }

    /// Finds a tensor and checks its shape.
    fn entry(&self, tensor: &str, shape: &[usize]) -> Result<(&Gguf, &Entry)> {
        let place = self.places.get(tensor).and_then(|(file, entry)| Some((self.files.get(*file)?, entry)));
        let Some((file, entry)) = place else {
            let expected = shape.to_vec();
            return Err(Error::MissingTensor { file: self.listing(), tensor: tensor.to_owned(), expected });
        };
        if entry.shape != shape {
            return Err(Error::WrongShape {
                file: file.path.clone(),
                tensor: tensor.to_owned(),
                expected: shape.to_vec(),
                got: entry.shape.clone(),
            });
        }
        Ok((file, entry))
    }
}

impl Source for Ggufs {
    fn listing(&self) -> PathBuf {
        self.files.first().map(|file| file.path.clone()).unwrap_or_default()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        let Some((pieces, each)) = self.find(name, shape) else {
            return Ok(None);
        };
        let read = |tensor: &String| {
            let (file, entry) = self.entry(tensor, &each)?;
            let values = entry.dtype.widened(&file.bytes(tensor, entry)?, &each)?;
            Ok(Tensor::from_vec(values, each.as_slice(), &Device::Cpu)?)
        };
        let tensors: Vec<Tensor> = pieces.tensors.iter().map(read).collect::<Result<_>>()?;
        Ok(Some(match pieces.join {
            Join::Rows => Tensor::cat(&tensors, 0)?,
            Join::Frames => Tensor::stack(&tensors, names::FRAMES_AT)?,
        }))
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>> {
        let Some((pieces, each)) = self.find(name, &shape) else {
            return Ok(None);
        };
        let read = |tensor: &String| {
            let (file, entry) = self.entry(tensor, &each)?;
            Ok(entry.dtype.matrix(&file.bytes(tensor, entry)?, [each[0], each[1]])?)
        };
        Ok(Some(Matrix::stack(pieces.tensors.iter().map(read).collect::<Result<_>>()?)?))
    }

    fn kept(&self, name: &str, shape: [usize; 2]) -> Result<Option<Kept>> {
        let Some((pieces, each)) = self.find(name, &shape) else {
            return Ok(None);
        };
        let kept = |tensor: &String| {
            let (file, entry) = self.entry(tensor, &each)?;
            entry.dtype.kept().ok_or_else(|| file.unread(tensor, entry))
        };
        Ok(pieces.tensors.iter().map(kept).collect::<Result<Vec<_>>>()?.into_iter().min())
    }
}

impl Gguf {
    /// Opens a file; gives its tensors too.
    fn open(files: &Files, name: &str) -> Result<(Self, Vec<(String, Entry)>)> {
        let path = files.path(name);
        let unreadable = |source| Error::Read { file: path.clone(), source };
        let bad = |problem, expected: String| Error::BadFile { file: path.clone(), problem, expected };
        let (mut reader, length) = files.open(name).map_err(unreadable)?;
        let header = Header::read(&mut reader, length).map_err(|flaw| match flaw {
            Flaw::Unreadable(source) => unreadable(source),
            Flaw::Content(problem) => bad(problem, "a complete GGUF file; fetch or convert it again".into()),
        })?;
        let Some(architecture) = header.architecture else {
            let expected =
                "general.architecture; parts of a split file have to be merged by llama-gguf-split";
            return Err(bad("it names no architecture".into(), expected.into()));
        };
        if ![LANGUAGE, VISION].contains(&architecture.as_str()) {
            let expected = format!("{LANGUAGE}, or {VISION} for the vision tower");
            return Err(bad(format!("its architecture is {architecture}"), expected));
        }
        let projector = header.projector.unwrap_or_default();
        if architecture == VISION && projector != PROJECTOR {
            return Err(bad(format!("its projector is {projector:?}"), PROJECTOR.into()));
        }
        Ok((Self { path, architecture, reader: Mutex::new(reader) }, header.tensors))
    }

    /// The bytes of a tensor.
    fn bytes(&self, tensor: &str, entry: &Entry) -> Result<Vec<u8>> {
        let Some(bytes) = &entry.bytes else { return Err(self.unread(tensor, entry)) };
        let unreadable = |source| Error::Read { file: self.path.clone(), source };
        let mut read = vec![0; (bytes.end - bytes.start) as usize];
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(bytes.start)).map_err(unreadable)?;
        reader.read_exact(&mut read).map_err(unreadable)?;
        Ok(read)
    }

    /// Why a tensor is not read whose number format is not.
    fn unread(&self, tensor: &str, entry: &Entry) -> Error {
        Error::WrongDtype {
            file: self.path.clone(),
            tensor: tensor.to_owned(),
            got: entry.dtype.to_string(),
            expected: Dtype::SUPPORTED,
        }
    }
}
