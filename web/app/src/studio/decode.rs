//! A file's pixels, by the browser's own decoders: decoders in the bundle would cost it 100 kB.
//!
//! One path for both executors, so that what is uploaded does not depend on who cuts it. The picture is turned upright
//! and put on white; its colour profile is left aside, as training does. Pixels are read through a video frame, and
//! from the canvas only where there are none: some browsers add noise to what is read from a canvas.

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use loupe_shared::pixels::Rgb8;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, ColorSpaceConversion, DedicatedWorkerGlobalScope, ImageBitmap, ImageBitmapOptions,
    ImageOrientation, OffscreenCanvas, OffscreenCanvasRenderingContext2d,
};

use crate::model::header::damaged;
use crate::model::problem::Problem;

#[wasm_bindgen]
extern "C" {
    /// WebCodecs' frame; web-sys counts it as unstable.
    type VideoFrame;

    #[wasm_bindgen(constructor, catch)]
    fn new(source: &OffscreenCanvas, init: &Object) -> Result<VideoFrame, JsValue>;

    #[wasm_bindgen(method, catch, js_name = copyTo)]
    fn copy_to(this: &VideoFrame, destination: &Uint8Array, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method)]
    fn close(this: &VideoFrame);
}

/// Decodes a file to upright pixels on white.
///
/// # Errors
/// A [`Problem`] for a file that the browser cannot decode.
pub(super) async fn decode(file: &Blob) -> Result<Rgb8, Problem> {
    let bitmap = bitmap(file).await.map_err(|_| damaged())?;
    let (width, height) = (bitmap.width(), bitmap.height());
    let (canvas, context) = paint(&bitmap).map_err(|_| too_much())?;
    bitmap.close();
    let rgba = match through_frame(&canvas, width, height).await {
        Ok(rgba) => rgba,
        Err(_) => through_canvas(&context, width, height).map_err(|_| too_much())?,
    };
    let rgb = rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    Rgb8::new(width, height, rgb).map_err(|_| damaged())
}

async fn bitmap(file: &Blob) -> Result<ImageBitmap, JsValue> {
    let options = ImageBitmapOptions::new();
    options.set_image_orientation(ImageOrientation::FromImage);
    options.set_color_space_conversion(ColorSpaceConversion::None);
    let scope: DedicatedWorkerGlobalScope = js_sys::global().dyn_into()?;
    let bitmap = scope.create_image_bitmap_with_blob_and_image_bitmap_options(file, &options)?;
    JsFuture::from(bitmap).await?.dyn_into()
}

/// Puts the picture on white.
fn paint(bitmap: &ImageBitmap) -> Result<(OffscreenCanvas, OffscreenCanvasRenderingContext2d), JsValue> {
    let (width, height) = (bitmap.width(), bitmap.height());
    let canvas = OffscreenCanvas::new(width, height)?;
    let options = object(&[("alpha", JsValue::FALSE), ("willReadFrequently", JsValue::TRUE)])?;
    let context = canvas.get_context_with_context_options("2d", &options)?.ok_or(JsValue::NULL)?;
    let context: OffscreenCanvasRenderingContext2d = context.dyn_into()?;
    context.set_fill_style_str("#fff");
    context.fill_rect(0.0, 0.0, width.into(), height.into());
    context.draw_image_with_image_bitmap(bitmap, 0.0, 0.0)?;
    Ok((canvas, context))
}

async fn through_frame(canvas: &OffscreenCanvas, width: u32, height: u32) -> Result<Vec<u8>, JsValue> {
    let frame = VideoFrame::new(canvas, &object(&[("timestamp", 0.into())])?)?;
    let row = width * 4;
    let layout = Array::of1(&object(&[("offset", 0.into()), ("stride", row.into())])?.into());
    let pixels = Uint8Array::new_with_length(row * height);
    let copied = frame.copy_to(&pixels, &object(&[("format", "RGBA".into()), ("layout", layout.into())])?);
    let copied = match copied {
        Ok(promise) => JsFuture::from(promise).await,
        Err(error) => Err(error),
    };
    frame.close();
    copied.map(|_| pixels.to_vec())
}

fn through_canvas(
    context: &OffscreenCanvasRenderingContext2d,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, JsValue> {
    let data = context.get_image_data(0.0, 0.0, width.into(), height.into())?;
    Ok(data.data().0)
}

fn object(fields: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &JsValue::from_str(name), value)?;
    }
    Ok(object)
}

fn too_much() -> Problem {
    Problem::new(
        "out_of_memory",
        "This device has too little memory for the picture.",
        "Make the picture smaller, or close other pages.",
    )
}
