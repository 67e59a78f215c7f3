//! The Loupe program.

fn main() {}
