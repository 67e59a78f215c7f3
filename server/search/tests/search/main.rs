//! Search as its callers see it.

// Helpers outside test functions count as tests too.
#![cfg(test)]

mod crops;
mod local;
mod mosaic;
mod pictures;
mod searxng;
