//! The threads that compute: how many, and on which cores.

use std::io;
use std::sync::OnceLock;

use core_affinity::CoreId;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The cores that were given; empty where all may be used.
static CORES: OnceLock<Vec<usize>> = OnceLock::new();

/// Lets everything be computed on these cores, one thread pinned to each. Has to be called before anything is
/// computed, and once.
///
/// # Errors
/// When a core is named twice or does not exist, the system refuses it, or threads run already.
pub fn use_cores(cores: &[usize]) -> io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    check(cores, &existing())?;
    if CORES.set(cores.to_vec()).is_err() {
        return Err(io::Error::other("the cores were chosen before"));
    }
    builder("loupe-compute").build_global().map_err(io::Error::other)
}

/// A pool of as many threads as compute elsewhere, on the same cores.
pub(crate) fn pool(name: &'static str) -> io::Result<ThreadPool> {
    builder(name).build().map_err(io::Error::other)
}

fn builder(name: &'static str) -> ThreadPoolBuilder {
    let builder = ThreadPoolBuilder::new().thread_name(move |nth| format!("{name}-{nth}"));
    let Some(cores) = CORES.get() else { return builder };
    builder.num_threads(cores.len()).start_handler(move |nth| {
        if let Some(core) = cores.get(nth)
            && !core_affinity::set_for_current(CoreId { id: *core })
        {
            tracing::warn!(core, "a thread could not be pinned to its core");
        }
    })
}

fn existing() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

fn check(cores: &[usize], existing: &[usize]) -> io::Result<()> {
    let invalid = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    if let Some(core) = cores.iter().find(|core| !existing.contains(core)) {
        return invalid(format!("there is no core {core} for this program; it may use {existing:?}"));
    }
    let twice = cores.iter().enumerate().find(|(nth, core)| cores[..*nth].contains(core));
    match twice {
        Some((_, core)) => invalid(format!("core {core} is named twice")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_do_not_exist_or_are_named_twice_are_refused() {
        assert!(check(&[0, 1], &[0, 1, 2]).is_ok());
        assert!(check(&[3], &[0, 1]).unwrap_err().to_string().contains("no core 3"));
        assert!(check(&[1, 0, 1], &[0, 1]).unwrap_err().to_string().contains("core 1 is named twice"));
    }

    #[test]
    fn a_pool_computes() {
        assert_eq!(pool("test").unwrap().install(|| 6 * 7), 42);
    }
}
