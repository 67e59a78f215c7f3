//! Compiles the client for wasm32.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const TARGET: &str = "wasm32-unknown-unknown";

/// Which compiler builds for wasm32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The cargo on the PATH, with the wasm32 target installed.
    Rustup,
    /// Debian's rustc-web and cargo-web, which build the standard library from Debian's sources.
    Debian,
}

impl Toolchain {
    /// `LOUPE_WASM_TOOLCHAIN=debian` chooses Debian's; without it the cargo on the PATH is used.
    fn from_env() -> Result<Self> {
        match std::env::var("LOUPE_WASM_TOOLCHAIN").as_deref() {
            Err(_) | Ok("" | "rustup") => Ok(Self::Rustup),
            Ok("debian") => Ok(Self::Debian),
            Ok(other) => bail!("LOUPE_WASM_TOOLCHAIN is {other:?}; it can be `rustup` or `debian`"),
        }
    }

    fn cargo(self) -> Command {
        match self {
            Self::Rustup => Command::new("cargo"),
            Self::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                // Debian ships the standard library for wasm32 as source; building it needs the unstable flag.
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo.env_remove("RUSTUP_TOOLCHAIN");
                cargo
            }
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Rustup => &[],
            Self::Debian => &["-Zbuild-std=std,panic_abort"],
        }
    }
}

/// Builds `web/app` and returns the path of its wasm file.
///
/// # Errors
/// When cargo cannot be started or fails.
pub(crate) fn client(root: &Path) -> Result<PathBuf> {
    let target = build(root, &["--package", "loupe-web", "--lib"])?;
    Ok(target.join("loupe_web.wasm"))
}

/// Builds an example of a package, a page of a browser test, and returns the path of its wasm file.
///
/// # Errors
/// When cargo cannot be started or fails.
pub(crate) fn example(root: &Path, package: &str, name: &str) -> Result<PathBuf> {
    let target = build(root, &["--package", package, "--example", name])?;
    Ok(target.join("examples").join(name).with_extension("wasm"))
}

/// Runs cargo and returns the folder of what it built.
///
/// The target folder is its own: the wasm build must not wait for, nor invalidate, the native one.
fn build(root: &Path, what: &[&str]) -> Result<PathBuf> {
    let toolchain = Toolchain::from_env()?;
    let target_dir = root.join("target/wasm");
    let status = toolchain
        .cargo()
        .current_dir(root)
        .arg("build")
        .args(what)
        .args(["--profile", "web", "--target", TARGET])
        .args(toolchain.flags())
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", short_paths(root))
        .status()
        .context("could not start cargo")?;
    if !status.success() {
        bail!(
            "cargo could not build {what:?} for {TARGET}; is the target installed? (`rustup target add {TARGET}`)"
        );
    }
    Ok(target_dir.join(TARGET).join("web"))
}

/// Compiler flags that keep this machine's folders out of the bundle: panics name source files by their paths.
fn short_paths(root: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let cargo = home.map(|home| format!("--remap-path-prefix={}=", home.join("registry/src").display()));
    let own = format!("--remap-path-prefix={}=", root.display());
    cargo.into_iter().chain([own]).collect::<Vec<_>>().join(" ")
}
