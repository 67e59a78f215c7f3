//! Denormal numbers are slow: a training step fed with them took almost three times as long.

/// Makes this thread and all threads of rayon's global pool treat denormals as zero. Gradients fade into denormals,
/// where they no longer matter but cost over a hundred cycles each. Does nothing but on x86-64.
pub(super) fn flush_denormals() {
    flush_denormals_here();
    rayon::broadcast(|_| flush_denormals_here());
}

/// Makes this thread treat denormals as zero.
#[cfg(target_arch = "x86_64")]
pub fn flush_denormals_here() {
    /// Results that are denormal become 0.
    const FLUSH_TO_ZERO: u32 = 1 << 15;
    /// Operands that are denormal count as 0.
    const DENORMALS_ARE_ZERO: u32 = 1 << 6;

    let mut control: u32 = 0;
    // SAFETY: MXCSR is read, and written back with two more of its defined bits; rounding and exception masks stay as
    // they are, so that the only change is how denormals are treated.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack));
        control |= FLUSH_TO_ZERO | DENORMALS_ARE_ZERO;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, readonly));
    }
}

/// Does nothing: this is known of x86-64 only.
#[cfg(not(target_arch = "x86_64"))]
pub fn flush_denormals_here() {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn denormal_results_become_zero() {
        let halved = || std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5);
        std::thread::spawn(move || {
            assert!(halved() > 0.0);
            flush_denormals_here();
            assert_eq!(halved(), 0.0);
        })
        .join()
        .expect("the thread's assertions hold");
    }
}
