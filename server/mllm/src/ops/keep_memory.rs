//! Memory that is given back is asked for again in the next step, and zeroed by the system each time.

/// Lets this process keep the memory that it frees. Training gives back hundreds of megabytes in every step; with the
/// C library's defaults the system cleared them anew, which took a third of a step. Does nothing but with glibc.
pub(super) fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest that glibc takes: half of the heap of a thread.
        const MAPPED_FROM: libc::c_int = 32 << 20;
        // SAFETY: mallopt changes two of the allocator's limits and touches no memory of ours.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
