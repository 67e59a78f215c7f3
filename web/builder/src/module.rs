//! Makes a browser module of a wasm file: wasm-bindgen writes the glue, wasm-opt shrinks the code.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use wasm_bindgen_cli_support::Bindgen;

/// What rustc's wasm32 target and wasm-bindgen use; wasm-opt refuses a module with features it was not told of.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// A wasm module and the JavaScript that loads it.
#[derive(Debug)]
pub(crate) struct BrowserModule {
    /// ES module; its default export takes `{ module_or_path }`.
    pub(crate) glue: String,
    /// Optimised wasm.
    pub(crate) wasm: Vec<u8>,
}

/// The programs that the builder runs.
#[derive(Debug)]
pub(crate) struct Tools {
    wasm_opt: PathBuf,
    work: PathBuf,
}

impl Tools {
    /// Finds wasm-opt among the pinned npm packages.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn find(root: &Path) -> Result<Self> {
        let wasm_opt = root.join("node_modules/binaryen/bin/wasm-opt");
        ensure!(wasm_opt.is_file(), "{} is missing; run `npm ci` first", wasm_opt.display());
        let work = root.join("target/web/work");
        std::fs::create_dir_all(&work).with_context(|| format!("could not create {}", work.display()))?;
        Ok(Self { wasm_opt, work })
    }

    /// Runs wasm-bindgen and wasm-opt on a wasm file.
    ///
    /// # Errors
    /// When the file is no wasm-bindgen module of the pinned version, or wasm-opt fails.
    pub(crate) fn browser_module(&self, wasm: &Path) -> Result<BrowserModule> {
        let mut output = Bindgen::new()
            .input_path(wasm)
            .web(true)?
            .typescript(false)
            .omit_default_module_path(true)
            .remove_name_section(true)
            .remove_producers_section(true)
            .generate_output()
            .with_context(|| format!("wasm-bindgen could not read {}", wasm.display()))?;
        ensure!(
            output.snippets().values().all(Vec::is_empty) && output.local_modules().is_empty(),
            "a dependency brings JavaScript snippets, which the bundle has no place for"
        );
        let glue = output.js().to_owned();
        let wasm = self.optimise(&output.wasm_mut().emit_wasm())?;
        Ok(BrowserModule { glue, wasm })
    }

    fn optimise(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        let process = std::process::id();
        let input = self.work.join(format!("{process}-in.wasm"));
        let output = self.work.join(format!("{process}-out.wasm"));
        std::fs::write(&input, wasm).with_context(|| format!("could not write {}", input.display()))?;
        let status = Command::new("node")
            .arg(&self.wasm_opt)
            .args(FEATURES)
            .arg("-Oz")
            .arg(&input)
            .arg("-o")
            .arg(&output)
            .status()
            .context("could not start node, which runs wasm-opt")?;
        if !status.success() {
            bail!("wasm-opt failed on {}", input.display());
        }
        let optimised =
            std::fs::read(&output).with_context(|| format!("could not read {}", output.display()))?;
        for path in [input, output] {
            std::fs::remove_file(&path).with_context(|| format!("could not remove {}", path.display()))?;
        }
        Ok(optimised)
    }
}
