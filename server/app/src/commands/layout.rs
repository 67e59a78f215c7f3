//! Flags that say how a file of questions is written.

use std::path::{Path, PathBuf};

use loupe_train::dataset::source::{Layout, Source};

use super::stamp;

/// Largest area of a picture that is stored out of such a file, in pixels.
pub(super) const STORED_PIXELS: u64 = 4_000_000;

/// How a file of questions is written.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LayoutArgs {
    /// How the questions are written: jsonl, mmsearch-r1, livevqa, okvqa or infoseek; told from the file where that is
    /// clear
    #[arg(long, value_parser = named)]
    layout: Option<Layout>,
    /// The answers of OK-VQA's questions
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Where the questions' pictures are; the folder of their file where none is given
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
}

fn named(name: &str) -> Result<Layout, String> {
    Layout::named(name).ok_or_else(|| format!("write {}", Layout::ALL.map(Layout::as_str).join(", ")))
}

impl LayoutArgs {
    /// Whether anything was said.
    pub(super) fn is_given(&self) -> bool {
        self.layout.is_some() || self.annotations.is_some() || self.images.is_some()
    }

    /// The layout that was named.
    pub(super) fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// What was said, with what the answers' file holds.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(super) fn stamp(&self) -> anyhow::Result<String> {
        let said = [
            self.layout.map(|layout| layout.as_str().to_owned()),
            self.annotations.as_deref().map(stamp::data).transpose()?,
            self.images.as_deref().map(|images| images.display().to_string()),
        ];
        Ok(said.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// The questions of a file that is written so.
    pub(super) fn source(&self, file: &Path, layout: Layout) -> Source {
        let beside = || file.parent().unwrap_or(Path::new(".")).to_owned();
        Source {
            file: file.to_owned(),
            layout,
            annotations: self.annotations.clone(),
            images: self.images.clone().unwrap_or_else(beside),
        }
    }
}
