//! The Loupe program.

use std::process::ExitCode;

/// Size of candle's pool for element-wise operations.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

fn main() -> ExitCode {
    // candle's threads for element-wise operations spin while they wait for each other, which is slower than one thread
    // alone as soon as anything else runs (355 instead of 1,170 tokens a second in training). Matrix products and
    // Loupe's own operations run on rayon's threads and are not concerned.
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: no other thread has been started that could read the environment meanwhile.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var(CANDLE_THREADS, "1");
        }
    }
    loupe_app::cli::main()
}
