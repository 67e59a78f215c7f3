//! Why the Atlas cannot be made or read.

use std::path::PathBuf;

use crate::place::FileError;

/// Why the Atlas cannot be made or read. Messages say what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AtlasError {
    /// The list of countries is not of the package's shape.
    #[error(
        "countries.json of world-countries cannot be read: {reason}; install the version that package.json pins"
    )]
    Countries {
        /// What does not fit, with the line.
        reason: String,
    },
    /// A flag cannot be drawn.
    #[error(
        "the flag of {code} cannot be drawn: {reason}; install the version of flag-icons that package.json pins"
    )]
    Flag {
        /// The country's code.
        code: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A folder is not an Atlas of this version.
    #[error(
        "{path} is not an Atlas: {reason}; build it anew with `loupe atlas build --out DIR --packages node_modules`"
    )]
    NotAnAtlas {
        /// The file that does not fit.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Something else lies where the Atlas is to go.
    #[error("{path} holds something else than an Atlas; give --out a folder that is empty or not there yet")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
}

impl From<FileError> for AtlasError {
    fn from(FileError { path, source }: FileError) -> Self {
        Self::File { path, source }
    }
}

impl AtlasError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Countries { .. } => "atlas_countries",
            Self::Flag { .. } => "atlas_flag",
            Self::File { .. } => "atlas_file",
            Self::NotAnAtlas { .. } => "atlas_unreadable",
            Self::Occupied { .. } => "atlas_occupied",
        }
    }
}
