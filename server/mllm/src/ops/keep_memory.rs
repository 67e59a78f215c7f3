//! Memory that is given back is asked for again in the next step, and zeroed by the system each time.

/// Lets this process keep memory that it frees: up to about `most` bytes at the end of its heap, or what an earlier call
/// said, if that is more. With the C library's defaults the system cleared a step's memory anew each time, which took
/// a third of a step of training, and half of one in which the pocket reads 768 tokens. Does nothing but with glibc.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn keep_memory(most: i32) {
    use std::sync::atomic::{AtomicI32, Ordering};

    /// The largest that glibc takes: half of the heap of a thread.
    const MAPPED_FROM: libc::c_int = 32 << 20;
    /// A program that trains also decodes.
    static KEPT: AtomicI32 = AtomicI32::new(0);
    let kept = KEPT.fetch_max(most, Ordering::Relaxed).max(most);
    // SAFETY: mallopt changes two of the allocator's limits and touches no memory of ours.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn keep_memory(_most: i32) {}

/// Lets threads that come from now on take their memory from the one heap: those of their own give memory back in pieces of
/// 64 MB, whatever is to be kept. Does nothing but with glibc.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn share_heap() {
    // SAFETY: mallopt changes one of the allocator's limits and touches no memory of ours.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn share_heap() {}
