//! What the bundle weighs.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};

/// Most bytes of the whole bundle, brotli-compressed.
const BUNDLE_LIMIT: usize = 250_000;
/// Most bytes of the widget's loader, gzipped: it is in other people's pages.
const LOADER_LIMIT: usize = 4_096;

/// The sizes of one file in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    /// Path inside the bundle.
    pub(crate) path: String,
    /// As it is.
    pub(crate) raw: usize,
    /// With brotli at its best.
    pub(crate) brotli: usize,
    /// With gzip at its best.
    pub(crate) gzip: usize,
}

/// Prints a table of the sizes.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(sizes: &[Size], out: &Path) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{:<32} {:>9} {:>9} {:>9}", "file", "bytes", "gzip", "brotli")?;
    for Size { path, raw, brotli, gzip } in sizes {
        writeln!(stdout, "{path:<32} {raw:>9} {gzip:>9} {brotli:>9}")?;
    }
    writeln!(
        stdout,
        "{:<32} {:>9} {:>9} {:>9}",
        "in all",
        total(sizes, |s| s.raw),
        "",
        total(sizes, |s| s.brotli)
    )?;
    writeln!(stdout, "limit: {BUNDLE_LIMIT} bytes of brotli; written to {}", out.display())?;
    Ok(())
}

/// Holds the sizes against the limits.
///
/// # Errors
/// When one is passed, with both numbers.
pub(crate) fn check(sizes: &[Size]) -> Result<()> {
    let brotli = total(sizes, |size| size.brotli);
    ensure!(
        brotli <= BUNDLE_LIMIT,
        "the bundle has {brotli} bytes of brotli, above the limit of {BUNDLE_LIMIT}"
    );
    let loader = sizes.iter().filter(|size| size.path == "embed.js").map(|size| size.gzip).sum::<usize>();
    ensure!(loader <= LOADER_LIMIT, "embed.js has {loader} bytes gzipped, above the limit of {LOADER_LIMIT}");
    Ok(())
}

fn total(sizes: &[Size], of: impl Fn(&Size) -> usize) -> usize {
    sizes.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(path: &str, brotli: usize, gzip: usize) -> Size {
        Size { path: path.to_owned(), raw: 0, brotli, gzip }
    }

    #[test]
    fn the_limit_is_of_all_files_together() {
        assert!(check(&[size("a", BUNDLE_LIMIT / 2, 0), size("b", BUNDLE_LIMIT / 2, 0)]).is_ok());
        assert!(check(&[size("a", BUNDLE_LIMIT / 2, 0), size("b", BUNDLE_LIMIT / 2 + 1, 0)]).is_err());
    }

    #[test]
    fn the_loader_has_its_own_limit() {
        assert!(check(&[size("embed.js", 10, LOADER_LIMIT)]).is_ok());
        assert!(check(&[size("embed.js", 10, LOADER_LIMIT + 1)]).is_err());
    }
}
