//! One safetensors file: its header is read and checked when it is opened, a tensor's bytes when it is asked for.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::files::{Files, ReadSeek};
use super::store::Kept;
use crate::error::{Error, Result};
use crate::lm::Matrix;

/// Bytes before the header: its length.
const LENGTH_BYTES: u64 = 8;
/// Larger headers are refused, as the safetensors library does.
const MAX_HEADER: u64 = 100_000_000;

pub(crate) struct Shard {
    path: PathBuf,
    metadata: Metadata,
    /// Where the tensors' bytes begin.
    data_start: u64,
    reader: Mutex<Box<dyn ReadSeek>>,
}

impl Shard {
    /// Opens a file and checks that it holds all the bytes its header promises.
    pub(crate) fn open(files: &Files, name: &str) -> Result<Self> {
        let path = files.path(name);
        let unreadable = |source| Error::Read { file: path.clone(), source };
        let bad = |problem: String| Error::BadFile {
            file: path.clone(),
            problem,
            expected: "a complete safetensors file; fetch or export it again".into(),
        };
        let (mut reader, length) = files.open(name).map_err(unreadable)?;
        if length < LENGTH_BYTES {
            return Err(bad(format!("it has only {length} bytes")));
        }
        let mut size = [0; LENGTH_BYTES as usize];
        reader.read_exact(&mut size).map_err(unreadable)?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER || size > length - LENGTH_BYTES {
            return Err(bad(format!("its header claims {size} bytes of {length}")));
        }
        let mut header = vec![0; size as usize];
        reader.read_exact(&mut header).map_err(unreadable)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| bad(format!("its header is invalid: {error}")))?;
        let data_start = LENGTH_BYTES + size;
        let promised = data_start + metadata.data_len() as u64;
        if promised != length {
            return Err(bad(format!("it has {length} bytes where its header promises {promised}")));
        }
        Ok(Self { path, metadata, data_start, reader: Mutex::new(reader) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// The shape of a tensor; nothing when the file does not hold it.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.metadata.info(name)?.shape)
    }

    /// Reads a tensor, widened to f32; nothing when the file does not hold it.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        let Some(info) = self.metadata.info(name) else {
            return Ok(None);
        };
        Ok(Some(self.stored(name, info, shape)?.to_dtype(DType::F32)?))
    }

    /// Reads every tensor in the numbers in which it is stored, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = Result<(String, Tensor)>> {
        self.names().into_iter().filter_map(|name| {
            let info = self.metadata.info(&name)?;
            let tensor = self.stored(&name, info, &info.shape);
            Some(tensor.map(|tensor| (name, tensor)))
        })
    }

    fn stored(&self, name: &str, info: &TensorInfo, shape: &[usize]) -> Result<Tensor> {
        let dtype = self.check(name, info, shape)?;
        Ok(Tensor::from_raw_buffer(&self.bytes(info)?, dtype, shape, &Device::Cpu)?)
    }

    /// Reads a matrix: bf16 stays as it is, everything else is widened to f32; nothing when the file does not hold it.
    pub(super) fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>> {
        let Some(info) = self.metadata.info(name) else {
            return Ok(None);
        };
        if self.check(name, info, &shape)? != DType::BF16 {
            let tensor = self.tensor(name, &shape)?;
            let values = tensor.map(|tensor| tensor.flatten_all()?.to_vec1()).transpose()?;
            return Ok(values.map(|values| Matrix::f32(values, shape)).transpose()?);
        }
        let bytes = self.bytes(info)?;
        let values = bytes.chunks_exact(2).map(|pair| bf16::from_le_bytes([pair[0], pair[1]])).collect();
        Ok(Some(Matrix::bf16(values, shape)?))
    }

    /// In which numbers [`Self::matrix`] gives a matrix; nothing when the file does not hold it.
    pub(super) fn kept(&self, name: &str, shape: [usize; 2]) -> Result<Option<Kept>> {
        let Some(info) = self.metadata.info(name) else { return Ok(None) };
        let is_bf16 = self.check(name, info, &shape)? == DType::BF16;
        Ok(Some(if is_bf16 { Kept::Bf16 } else { Kept::F32 }))
    }

    fn check(&self, name: &str, info: &TensorInfo, shape: &[usize]) -> Result<DType> {
        if info.shape != shape {
            return Err(Error::WrongShape {
                file: self.path(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                got: info.shape.clone(),
            });
        }
        match info.dtype {
            Dtype::F32 => Ok(DType::F32),
            Dtype::BF16 => Ok(DType::BF16),
            Dtype::F16 => Ok(DType::F16),
            other => Err(Error::WrongDtype {
                file: self.path(),
                tensor: name.to_owned(),
                got: format!("{other:?}"),
                expected: "F32, BF16 or F16",
            }),
        }
    }

    /// The shape of a tensor and at most `most` of its first bytes; nothing when the file does not hold it.
    pub(super) fn head(&self, name: &str, most: usize) -> Result<Option<(&[usize], Vec<u8>)>> {
        let Some(info) = self.metadata.info(name) else { return Ok(None) };
        let (start, end) = info.data_offsets;
        Ok(Some((&info.shape, self.part(start, end.min(start + most))?)))
    }

    fn bytes(&self, info: &TensorInfo) -> Result<Vec<u8>> {
        let (start, end) = info.data_offsets;
        self.part(start, end)
    }

    /// Bytes of the data from `start` to `end`.
    fn part(&self, start: usize, end: usize) -> Result<Vec<u8>> {
        let unreadable = |source| Error::Read { file: self.path(), source };
        let mut bytes = vec![0; end - start];
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(self.data_start + start as u64)).map_err(unreadable)?;
        reader.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }
}
