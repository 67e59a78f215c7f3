//! The bundle: which files it has, what they are called, and their compressed copies.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::module::BrowserModule;
use crate::report::Size;

/// Digits of the BLAKE3 hash that go into a name: 40 bits keep two builds apart.
const HASH_DIGITS: usize = 10;

/// A file of the bundle.
#[derive(Debug)]
pub(crate) struct File {
    /// Path inside the bundle, with `/`.
    pub(crate) path: String,
    /// Content.
    pub(crate) bytes: Vec<u8>,
}

/// Files that keep their names, because they are asked for by name: the widget's loader and what browsers look for.
const NAMED: [(&str, &str); 3] = [
    ("embed.js", "embed/embed.js"),
    ("icon.svg", "app/static/icon.svg"),
    ("manifest.webmanifest", "app/static/manifest.webmanifest"),
];

/// The client's files. Everything under `assets/` is named by its content and may be cached for ever.
///
/// # Errors
/// When a source file is missing or a template has an unknown placeholder.
pub(crate) fn client(module: &BrowserModule, web: &Path) -> Result<Vec<File>> {
    let wasm = hashed("loupe", "wasm", module.wasm.clone());
    let glue = hashed("loupe", "js", module.glue.clone().into_bytes());
    let style = hashed("style", "css", read(&web.join("app/static/style.css"))?.into_bytes());
    let names = [("glue", file_name(&glue)), ("wasm", file_name(&wasm))];
    let worker = hashed("worker", "js", template(&web.join("app/static/worker.js"), &names)?);
    let names = [names[0], names[1], ("worker", file_name(&worker))];
    let app = hashed("app", "js", template(&web.join("app/static/app.js"), &names)?);
    let names = [names[0], names[1], ("app", file_name(&app)), ("style", file_name(&style))];
    let index =
        File { path: "index.html".to_owned(), bytes: template(&web.join("app/static/index.html"), &names)? };
    let mut files = vec![index, app, worker, glue, wasm, style];
    for (path, source) in NAMED {
        files.push(File { path: path.to_owned(), bytes: read(&web.join(source))?.into_bytes() });
    }
    Ok(files)
}

/// Writes the bundle to a fresh folder, each file with a `.br` and a `.gz` beside it.
///
/// # Errors
/// When the folder cannot be replaced or written.
pub(crate) fn write_all(files: &[File], out: &Path) -> Result<Vec<Size>> {
    if out.exists() {
        std::fs::remove_dir_all(out).with_context(|| format!("could not replace {}", out.display()))?;
    }
    std::fs::create_dir_all(out.join("assets"))
        .with_context(|| format!("could not create {}", out.display()))?;
    files.iter().map(|file| write_compressed(file, out)).collect()
}

/// Writes one file.
///
/// # Errors
/// When it cannot be written, with its path.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

fn write_compressed(file: &File, out: &Path) -> Result<Size> {
    let br = brotli(&file.bytes)?;
    let gz = gzip(&file.bytes)?;
    write(&out.join(&file.path), &file.bytes)?;
    write(&out.join(format!("{}.br", file.path)), &br)?;
    write(&out.join(format!("{}.gz", file.path)), &gz)?;
    Ok(Size { path: file.path.clone(), raw: file.bytes.len(), brotli: br.len(), gzip: gz.len() })
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &*bytes, &mut out, &params).context("brotli failed")?;
    Ok(out)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).context("gzip failed")?;
    encoder.finish().context("gzip failed")
}

fn hashed(stem: &str, extension: &str, bytes: Vec<u8>) -> File {
    let hash = blake3::hash(&bytes).to_hex();
    File { path: format!("assets/{stem}-{}.{extension}", &hash[..HASH_DIGITS]), bytes }
}

fn file_name(file: &File) -> &str {
    file.path.strip_prefix("assets/").unwrap_or(&file.path)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// Fills `{{name}}` placeholders.
fn template(path: &Path, names: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut text = read(path)?;
    for (name, value) in names {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    ensure!(!text.contains("{{"), "{} has a placeholder that the builder does not know", path.display());
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        hashed("style", "css", bytes.to_vec())
    }

    #[test]
    fn a_name_follows_the_content() {
        assert_eq!(file(b"a").path, file(b"a").path);
        assert_ne!(file(b"a").path, file(b"b").path);
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        std::fs::write(&path, "{{app}} {{other}}").unwrap();
        assert!(template(&path, &[("app", "x.js")]).is_err());
        assert_eq!(template(&path, &[("app", "x.js"), ("other", "y")]).unwrap(), b"x.js y");
    }

    #[test]
    fn compressed_copies_hold_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("dist");
        let sent = file(&b"body { color: black }".repeat(50));
        let sizes = write_all(std::slice::from_ref(&sent), &out).unwrap();
        let stored = std::fs::read(out.join(format!("{}.br", sent.path))).unwrap();
        let mut unpacked = Vec::new();
        brotli::Decompressor::new(&*stored, 4096).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, sent.bytes);
        let stored = std::fs::read(out.join(format!("{}.gz", sent.path))).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*stored).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, sent.bytes);
        assert_eq!(sizes[0].gzip, stored.len());
    }
}
