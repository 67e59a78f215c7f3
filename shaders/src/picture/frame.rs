//! The browser's `VideoFrame`: the one way to decoded pixels that neither converts nor randomises them.
//!
//! Browsers add noise to what is read from a 2D canvas (against fingerprinting), and reading through a WebGPU texture
//! needs an adapter. `web-sys` has this interface only behind its unstable flag, so the few members are bound here.

use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// <https://www.w3.org/TR/webcodecs/#videoframe-interface>
    type VideoFrame;

    #[wasm_bindgen(constructor, catch)]
    fn new(image: &JsValue, init: &Object) -> Result<VideoFrame, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn format(this: &VideoFrame) -> Option<String>;

    #[wasm_bindgen(method, getter, js_name = codedWidth)]
    fn coded_width(this: &VideoFrame) -> u32;

    #[wasm_bindgen(method, getter, js_name = codedHeight)]
    fn coded_height(this: &VideoFrame) -> u32;

    /// Degrees; absent in older browsers, which have no such frames.
    #[wasm_bindgen(method, getter)]
    fn rotation(this: &VideoFrame) -> Option<f64>;

    #[wasm_bindgen(method, getter)]
    fn flip(this: &VideoFrame) -> Option<bool>;

    #[wasm_bindgen(method, catch, js_name = allocationSize)]
    fn allocation_size(this: &VideoFrame) -> Result<u32, JsValue>;

    #[wasm_bindgen(method, catch, js_name = copyTo)]
    fn copy_to(this: &VideoFrame, target: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method)]
    fn close(this: &VideoFrame);
}

/// A frame of a picture that is not upright, or has transparent parts: it must be drawn first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotPlain;

/// The pixels of an `ImageBitmap` or a canvas of `width` x `height` as RGB, or [`NotPlain`].
pub(super) async fn read(
    image: &JsValue,
    (width, height): (u32, u32),
) -> Result<Result<Vec<u8>, NotPlain>, JsValue> {
    let init = Object::new();
    Reflect::set(&init, &"timestamp".into(), &0.into())?;
    let frame = Open(VideoFrame::new(image, &init)?);
    let turned = frame.0.rotation().is_some_and(|degrees| degrees != 0.0) || frame.0.flip() == Some(true);
    if turned || (frame.0.coded_width(), frame.0.coded_height()) != (width, height) {
        return Ok(Err(NotPlain));
    }
    let samples = Uint8Array::new_with_length(frame.0.allocation_size()?);
    JsFuture::from(frame.0.copy_to(&samples)?).await?;
    let samples = samples.to_vec();
    match frame.0.format().as_deref() {
        Some("RGBX" | "RGBA") => Ok(opaque(&samples, [0, 1, 2])),
        Some("BGRX" | "BGRA") => Ok(opaque(&samples, [2, 1, 0])),
        other => Err(JsError::new(&format!("frames of the format {other:?} are not known")).into()),
    }
}

/// The colours of opaque pixels. Formats with X have 255 there, too.
fn opaque(samples: &[u8], order: [usize; 3]) -> Result<Vec<u8>, NotPlain> {
    let pixels = samples.chunks_exact(4);
    if pixels.clone().any(|pixel| pixel[3] != 255) {
        return Err(NotPlain);
    }
    Ok(pixels.flat_map(|pixel| order.map(|colour| pixel[colour])).collect())
}

/// Closes its frame at the end: frames hold memory that the garbage collector does not see.
struct Open(VideoFrame);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}
