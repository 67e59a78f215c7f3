//! WGSL shaders and the pipeline that runs them.
