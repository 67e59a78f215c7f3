//! What a GGUF file says of itself and of its tensors. Everything is checked against the file's length before it is
//! believed, and what is not needed, as the vocabulary, is skipped.

use std::io::{self, BufReader, Read, Seek};
use std::ops::Range;

use super::dtype::Dtype;

const MAGIC: [u8; 4] = *b"GGUF";
/// Versions that differ in nothing that is read here.
const VERSIONS: [u32; 2] = [2, 3];
/// Where tensors may begin, unless the file says otherwise.
const ALIGNMENT: u64 = 32;
/// Longest name of a key or a tensor, in bytes.
const LONGEST_NAME: u64 = 65_535;
const MOST_DIMENSIONS: u32 = 4;
/// Arrays within arrays.
const DEEPEST: usize = 4;

/// Numbers of the kinds of values.
const U32: u32 = 4;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// Why a header cannot be used.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// What is wrong with what it holds.
    Content(String),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

type Result<T> = std::result::Result<T, Flaw>;

fn flaw<T>(problem: impl Into<String>) -> Result<T> {
    Err(Flaw::Content(problem.into()))
}

/// What is needed of a header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) architecture: Option<String>,
    /// The kind of a vision tower.
    pub(super) projector: Option<String>,
    pub(super) tensors: Vec<(String, Entry)>,
}

/// A tensor of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    /// Rows before columns.
    pub(super) shape: Vec<usize>,
    /// Where in the file; nothing for number formats that are not read.
    pub(super) bytes: Option<Range<u64>>,
}

impl Header {
    /// Reads the header of a file of `length` bytes.
    pub(super) fn read(reader: impl Read + Seek, length: u64) -> Result<Self> {
        let mut cursor = Cursor { reader: BufReader::new(reader), at: 0, length };
        if cursor.bytes()? != MAGIC {
            return flaw("it does not begin with GGUF");
        }
        let version = cursor.u32()?;
        if !VERSIONS.contains(&version) {
            return flaw(format!("it is of version {version}, not of 2 or 3 in little-endian order"));
        }
        let (tensors, keys) = (cursor.u64()?, cursor.u64()?);
        let mut header = Self { architecture: None, projector: None, tensors: Vec::new() };
        let mut alignment = ALIGNMENT;
        for _ in 0..keys {
            let key = cursor.text()?;
            match (key.as_str(), cursor.u32()?) {
                ("general.architecture", TEXT) => header.architecture = Some(cursor.text()?),
                ("clip.projector_type" | "clip.vision.projector_type", TEXT) => {
                    header.projector = Some(cursor.text()?);
                }
                ("general.alignment", U32) => alignment = u64::from(cursor.u32()?),
                (_, kind) => cursor.skip_value(kind, 0)?,
            }
        }
        if !alignment.is_power_of_two() {
            return flaw(format!("its general.alignment is {alignment}"));
        }
        let mut found = Vec::new();
        for _ in 0..tensors {
            found.push(cursor.tensor()?);
        }
        let start = cursor.at.next_multiple_of(alignment);
        let placed = found.into_iter().map(|tensor| tensor.placed(start, length));
        header.tensors = placed.collect::<Result<_>>()?;
        Ok(header)
    }
}

/// A tensor before it is known where tensors begin.
struct Declared {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    offset: u64,
}

impl Declared {
    /// Finds its bytes in a file of `length` bytes whose tensors begin at `start`.
    fn placed(self, start: u64, length: u64) -> Result<(String, Entry)> {
        let Self { name, shape, dtype, offset } = self;
        let Some((numbers, size)) = dtype.block() else {
            return Ok((name, Entry { dtype, shape, bytes: None }));
        };
        if !shape.last().is_some_and(|columns| columns.is_multiple_of(numbers)) {
            return flaw(format!("tensor {name} of shape {shape:?} does not hold whole blocks of {dtype}"));
        }
        let values = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let bytes = values.and_then(|values| (values / numbers).checked_mul(size)).map(|bytes| bytes as u64);
        let first = start.checked_add(offset);
        let end = first.zip(bytes).and_then(|(first, bytes)| first.checked_add(bytes));
        match first.zip(end) {
            Some((first, end)) if end <= length => {
                Ok((name, Entry { dtype, shape, bytes: Some(first..end) }))
            }
            _ => {
                flaw(format!("tensor {name} of shape {shape:?} in {dtype} reaches beyond its {length} bytes"))
            }
        }
    }
}

/// Reads a file from its beginning.
struct Cursor<R> {
    reader: BufReader<R>,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Cursor<R> {
    fn advance(&mut self, count: u64) -> Result<()> {
        if count > self.length - self.at {
            return flaw(format!("its header goes on beyond its {} bytes", self.length));
        }
        self.at += count;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.advance(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u64()?;
        if length > LONGEST_NAME {
            return flaw(format!("a name in its header is {length} bytes long"));
        }
        self.advance(length)?;
        let mut text = vec![0; length as usize];
        self.reader.read_exact(&mut text)?;
        String::from_utf8(text).or_else(|_| flaw("a name in its header is not UTF-8"))
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        self.advance(count)?;
        let count = i64::try_from(count).or_else(|_| flaw("its header is longer than files can be"))?;
        Ok(self.reader.seek_relative(count)?)
    }

    /// Skips a value of a kind, within `depth` arrays.
    fn skip_value(&mut self, kind: u32, depth: usize) -> Result<()> {
        match kind {
            TEXT => {
                let length = self.u64()?;
                self.skip(length)
            }
            ARRAY if depth < DEEPEST => {
                let (kind, count) = (self.u32()?, self.u64()?);
                if let Some(size) = size_of_kind(kind) {
                    return self.skip(count.saturating_mul(size));
                }
                // Each takes some bytes, so the file's end ends this.
                (0..count).try_for_each(|_| self.skip_value(kind, depth + 1))
            }
            _ => match size_of_kind(kind) {
                Some(size) => self.skip(size),
                None => flaw(format!("its header holds a value of kind {kind} at depth {depth}")),
            },
        }
    }

    fn tensor(&mut self) -> Result<Declared> {
        let name = self.text()?;
        let dimensions = self.u32()?;
        if dimensions == 0 || dimensions > MOST_DIMENSIONS {
            return flaw(format!("tensor {name} has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let side = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
            if side == 0 {
                return flaw(format!("tensor {name} is empty"));
            }
            shape.push(side);
        }
        // The file names the side whose values lie next to each other first.
        shape.reverse();
        Ok(Declared { name, shape, dtype: Dtype::numbered(self.u32()?), offset: self.u64()? })
    }
}

/// Bytes of a value of a kind that always has as many.
fn size_of_kind(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
