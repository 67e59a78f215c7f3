//! What the browser test of the pixel path calls: every golden case on the GPU and on the CPU, in real wasm.
#![cfg(target_arch = "wasm32")]

use loupe_shaders::{GpuOptions, GpuResizer, PictureLimits, crop_resize_cpu, decode_picture};
use loupe_shared::pixels::{Rect, Rgb8, pattern};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

/// A row of `tests/golden/pixels/cases.json`.
#[derive(Deserialize)]
struct Case {
    source: (u32, u32),
    crop: (u32, u32, u32, u32),
    target: (u32, u32),
}

/// What came out of a case.
#[derive(Serialize)]
struct Outcome {
    blake3: String,
    took_ms: f64,
}

impl Case {
    fn source(&self) -> Result<(Rgb8, Rect), JsError> {
        let (x, y, width, height) = self.crop;
        let rect = Rect::new(x, y, width, height, self.source)?;
        Ok((pattern(self.source.0, self.source.1)?, rect))
    }
}

fn outcome(picture: &Rgb8, took_ms: f64) -> Outcome {
    Outcome { blake3: blake3::hash(picture.data()).to_hex().to_string(), took_ms }
}

/// Runs cases (JSON) on the GPU, a software one as well, sending at most `band_bytes` of a source at once.
#[wasm_bindgen]
pub async fn on_gpu(cases: &str, band_bytes: u32) -> Result<String, JsError> {
    let cases: Vec<Case> = serde_json::from_str(cases)?;
    let options = GpuOptions { allow_software: true, band_bytes: u64::from(band_bytes) };
    let gpu = GpuResizer::new(options).await?;
    let mut outcomes = Vec::new();
    for case in cases {
        let (source, rect) = case.source()?;
        let start = js_sys::Date::now();
        let picture = gpu.crop_resize(&source, rect, case.target.0, case.target.1).await?;
        outcomes.push(outcome(&picture, js_sys::Date::now() - start));
    }
    Ok(serde_json::to_string(&outcomes)?)
}

/// Runs cases (JSON) on the CPU.
#[wasm_bindgen]
pub fn on_cpu(cases: &str) -> Result<String, JsError> {
    let cases: Vec<Case> = serde_json::from_str(cases)?;
    let mut outcomes = Vec::new();
    for case in cases {
        let (source, rect) = case.source()?;
        let start = js_sys::Date::now();
        let picture = crop_resize_cpu(&source, rect, case.target.0, case.target.1)?;
        outcomes.push(outcome(&picture, js_sys::Date::now() - start));
    }
    Ok(serde_json::to_string(&outcomes)?)
}

/// The stable code with which a resizer is refused, or nothing when there is a hardware adapter.
#[wasm_bindgen]
pub async fn gpu_refusal() -> Option<String> {
    let refused = GpuResizer::new(GpuOptions::default()).await.err();
    refused.map(|error| error.code().to_owned())
}

const LIMITS: PictureLimits = PictureLimits { max_side: 20_000, max_pixels: 50_000_000 };

/// The code with which a file is refused, or its size as `WIDTHxHEIGHT`.
#[wasm_bindgen]
pub async fn opened(file: &[u8]) -> String {
    match decode_picture(file, LIMITS).await {
        Ok(picture) => format!("{}x{}", picture.width(), picture.height()),
        Err(error) => error.code().to_owned(),
    }
}

/// The largest difference between the samples of two files; 256 if their sizes differ.
#[wasm_bindgen]
pub async fn difference(file: &[u8], expected: &[u8]) -> Result<u32, JsError> {
    let (file, expected) = (decode_picture(file, LIMITS).await?, decode_picture(expected, LIMITS).await?);
    if (file.width(), file.height()) != (expected.width(), expected.height()) {
        return Ok(256);
    }
    let pairs = file.data().iter().zip(expected.data());
    Ok(pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).max().unwrap_or(0))
}

/// BLAKE3 of a file's RGB bytes.
#[wasm_bindgen]
pub async fn decoded_blake3(file: &[u8]) -> Result<String, JsError> {
    Ok(blake3::hash(decode_picture(file, LIMITS).await?.data()).to_hex().to_string())
}
