//! Builds the wasm client into a hashed, precompressed bundle.

fn main() {}
