//! Builds the browser client: wasm, its JavaScript glue, the page, and their compressed copies.
//!
//! Layout
//! - [`compile`]: cargo builds `web/app` for wasm32, with rustup's toolchain or Debian's.
//! - [`module`]: wasm-bindgen and wasm-opt make a browser module of a wasm file.
//! - [`bundle`]: names files by their content, fills in the templates, writes the bundle and its compressed copies.
//! - [`report`]: the size table and the limit.

mod bundle;
mod compile;
mod module;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

/// Builds the browser client into a folder that `loupe serve` can carry.
#[derive(Debug, Parser)]
#[command(name = "loupe-web-builder", version)]
struct Args {
    /// Only turn this wasm file into a browser module (`NAME.js`, `NAME.wasm`) in the output folder.
    #[arg(long, value_name = "FILE", requires = "out")]
    wasm: Option<PathBuf>,

    /// Only build this example for the browser (`PACKAGE:EXAMPLE`) and make a module of it, as `--wasm` does.
    #[arg(long, value_name = "PACKAGE:EXAMPLE", requires = "out", conflicts_with = "wasm")]
    example: Option<String>,

    /// Where to write; `target/web/dist` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let root = workspace_root()?;
    let tools = module::Tools::find(&root)?;
    let out = args.out.unwrap_or_else(|| root.join("target/web/dist"));
    if let Some(example) = args.example {
        let (package, name) = example.split_once(':').context("--example wants PACKAGE:EXAMPLE")?;
        return write_module(&tools, &compile::example(&root, package, name)?, &out);
    }
    match args.wasm {
        Some(wasm) => write_module(&tools, &wasm, &out),
        None => write_client(&tools, &root, &out),
    }
}

fn write_module(tools: &module::Tools, wasm: &Path, out: &Path) -> Result<()> {
    let built = tools.browser_module(wasm)?;
    let name = wasm.file_stem().context("the wasm file has no name")?;
    std::fs::create_dir_all(out).with_context(|| format!("could not create {}", out.display()))?;
    bundle::write(&out.join(name).with_extension("js"), built.glue.as_bytes())?;
    bundle::write(&out.join(name).with_extension("wasm"), &built.wasm)
}

fn write_client(tools: &module::Tools, root: &Path, out: &Path) -> Result<()> {
    let wasm = compile::client(root)?;
    let built = tools.browser_module(&wasm)?;
    let files = bundle::client(&built, &root.join("web"))?;
    let sizes = bundle::write_all(&files, out)?;
    report::print(&sizes, out)?;
    report::check(&sizes)
}

/// The folder of the workspace: two above this crate's own.
fn workspace_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("the builder does not lie in a workspace")?;
    Ok(root.to_owned())
}
