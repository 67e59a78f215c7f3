//! Every shader parses, validates and stays within integers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{ScalarKind, TypeInner};

fn modules() -> Vec<(String, naga::Module)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wgsl");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&text, &name)));
        found.push((name, module));
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn every_shader_is_valid() {
    for (name, module) in modules() {
        // No capabilities: nothing beyond what every WebGPU adapter has.
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(!module.entry_points.is_empty(), "{name} has no entry point");
    }
}

#[test]
fn no_shader_uses_floats() {
    for (name, module) in modules() {
        for (_, kind) in module.types.iter() {
            let scalar = match kind.inner {
                TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => scalar,
                TypeInner::Matrix { .. } => panic!("{name} has a matrix, which is made of floats"),
                _ => continue,
            };
            assert!(
                !matches!(scalar.kind, ScalarKind::Float | ScalarKind::AbstractFloat),
                "{name} has a float"
            );
        }
    }
}
