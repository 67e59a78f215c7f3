//! Large values in large pages: a core reads on from one line of memory to the next by itself, but not beyond a page.

/// Room for `len` values, in large pages where the system has them.
pub(crate) fn with_room<T>(len: usize) -> Vec<T> {
    let room = Vec::with_capacity(len);
    #[cfg(target_os = "linux")]
    linux::advise(room.as_ptr(), len, libc::MADV_HUGEPAGE);
    room
}

/// Moves values into large pages where the system can, under the same address: those that were written into pages that
/// the process had before.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
pub(crate) fn gather<T>(values: &[T]) {
    #[cfg(target_os = "linux")]
    linux::advise(values.as_ptr(), values.len(), linux::MADV_COLLAPSE);
}

#[cfg(target_os = "linux")]
mod linux {
    /// From Linux 6.1 on (`include/uapi/asm-generic/mman-common.h`); older ones refuse it.
    pub(super) const MADV_COLLAPSE: libc::c_int = 25;
    const LARGE_PAGE: usize = 2 << 20;

    /// Tells the system how the large pages that hold a part of `len` values are to be kept: what lies beside those in the
    /// first and the last is mostly of the same kind. What it refuses stays as it is.
    pub(super) fn advise<T>(first: *const T, len: usize, advice: libc::c_int) {
        let bytes = len * size_of::<T>();
        if bytes < LARGE_PAGE {
            return;
        }
        let start = first.addr() / LARGE_PAGE * LARGE_PAGE;
        let end = (first.addr() + bytes).next_multiple_of(LARGE_PAGE);
        // SAFETY: neither advice changes what pages hold, and pages that the process does not have are passed over.
        #[allow(unsafe_code)]
        unsafe {
            libc::madvise(first.with_addr(start).cast_mut().cast(), end - start, advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_what_they_are() {
        for len in [0, 3, 600_000, 5_000_001] {
            let mut values = with_room(len);
            values.extend((0..len).map(|nth| nth as u32));
            gather(&values);
            assert!(values.iter().enumerate().all(|(nth, value)| nth as u32 == *value), "{len}");
        }
    }
}
