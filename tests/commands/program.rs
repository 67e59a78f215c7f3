//! The program and what it works with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a stage may take to write its first lines.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program with arguments, which are separated by spaces; what follows `@` is a path in `folder`.
pub(crate) fn program(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loupe"));
    command.current_dir(folder).env_clear().env("HOME", folder).stdout(Stdio::null());
    for argument in arguments.split_whitespace() {
        match argument.strip_prefix('@') {
            Some(name) => command.arg(folder.join(name)),
            None => command.arg(argument),
        };
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(folder: &Path, arguments: &str) {
    let output = program(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the program until a file has so many lines and kills it.
pub(crate) fn kill_at(folder: &Path, arguments: &str, file: &str, lines: usize) {
    let mut child = program(folder, arguments).stderr(Stdio::null()).spawn().unwrap();
    let (path, began) = (folder.join(file), Instant::now());
    let written = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    while written() < lines {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed: {arguments}");
        assert!(began.elapsed() < PATIENCE, "{file} has {} lines: {arguments}", written());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was through before it was killed: {arguments}");
}

/// A folder with the Atlas (`atlas`) and a data set of its training split (`data`).
pub(crate) fn world() -> &'static Path {
    static WORLD: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = WORLD.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules");
        let packages: PathBuf = std::fs::canonicalize(packages).unwrap();
        run(
            folder.path(),
            &format!("atlas build --packages {} --made-up 1 --out @atlas", packages.display()),
        );
        run(folder.path(), "dataset build --atlas @atlas --count 16 --search-free 0.4 --seed 3 --out @data");
        folder
    });
    folder.path()
}

/// A folder of a test's own with links to what [`world`] has.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["atlas", "data"] {
        std::os::unix::fs::symlink(world().join(name), folder.path().join(name)).unwrap();
    }
    folder
}
