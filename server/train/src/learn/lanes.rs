//! Two lanes, each with half of the threads: what is computed side by side does not wait for the other's parts that one
//! thread computes, which are a fifth of a step.

use std::sync::OnceLock;

use loupe_mllm::ops;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

static LANES: OnceLock<Option<[ThreadPool; 2]>> = OnceLock::new();

/// Computes both, side by side. Where threads cannot be had, one after the other.
pub(crate) fn both<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    let Some([one, other]) = lanes() else { return (first(), second()) };
    std::thread::scope(|scope| {
        let second = scope.spawn(|| other.install(second));
        let first = one.install(first);
        (first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn lanes() -> Option<&'static [ThreadPool; 2]> {
    let lanes = LANES.get_or_init(|| match [lane("first"), lane("second")] {
        [Ok(one), Ok(other)] => Some([one, other]),
        [Err(error), _] | [_, Err(error)] => {
            tracing::warn!(%error, "no threads for a second lane");
            None
        }
    });
    lanes.as_ref()
}

fn lane(name: &'static str) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads((rayon::current_num_threads() / 2).max(1))
        .thread_name(move |nth| format!("loupe-{name}-{nth}"))
        .start_handler(|_| ops::flush_denormals_here())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_computed_at_the_same_time() {
        let meeting = std::sync::Barrier::new(2);
        let name = || {
            meeting.wait();
            std::thread::current().name().unwrap_or_default().to_owned()
        };
        let (first, second) = both(name, name);
        assert!(first.starts_with("loupe-first-") && second.starts_with("loupe-second-"), "{first} {second}");
    }
}
