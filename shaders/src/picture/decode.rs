//! From a file to upright RGB.

use js_sys::{Array, Promise, Uint8Array};
use loupe_shared::pixels::Rgb8;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, BlobPropertyBag, ColorSpaceConversion, ImageBitmap, ImageBitmapOptions, OffscreenCanvas,
    OffscreenCanvasRenderingContext2d, PremultiplyAlpha,
};

use super::error::PictureError;
use super::frame::{self, NotPlain};
use super::header::{PictureLimits, check_header};

#[wasm_bindgen]
extern "C" {
    // Of the window and of workers alike, which `web-sys` keeps apart.
    #[wasm_bindgen(catch, js_name = createImageBitmap)]
    fn create_image_bitmap(file: &Blob, options: &ImageBitmapOptions) -> Result<Promise, JsValue>;
}

/// Decodes a PNG, JPEG or WebP file to 8-bit RGB. Works in the window and in a worker.
///
/// Upright as EXIF says; colour profiles are ignored, as Pillow does; what is transparent shows white.
///
/// # Errors
/// [`PictureError::Format`] and [`PictureError::TooLarge`] by the file's header, before anything is decoded;
/// [`PictureError::Damaged`]; [`PictureError::Browser`] without WebCodecs' `VideoFrame`.
pub async fn decode_picture(file: &[u8], limits: PictureLimits) -> Result<Rgb8, PictureError> {
    let media_type = check_header(file, limits)?;
    let bitmap = Bitmap(open(file, media_type).await.map_err(|error| PictureError::Damaged(words(&error)))?);
    let (width, height) = (bitmap.0.width(), bitmap.0.height());
    let rgb = read(&bitmap.0, (width, height)).await.map_err(|error| PictureError::Browser(words(&error)))?;
    Rgb8::new(width, height, rgb).map_err(|error| PictureError::Browser(error.to_string()))
}

async fn open(file: &[u8], media_type: &str) -> Result<ImageBitmap, JsValue> {
    let kind = BlobPropertyBag::new();
    kind.set_type(media_type);
    let blob = Blob::new_with_u8_array_sequence_and_options(&Array::of1(&Uint8Array::from(file)), &kind)?;
    let options = ImageBitmapOptions::new();
    options.set_premultiply_alpha(PremultiplyAlpha::None);
    options.set_color_space_conversion(ColorSpaceConversion::None);
    JsFuture::from(create_image_bitmap(&blob, &options)?).await?.dyn_into()
}

async fn read(bitmap: &ImageBitmap, size: (u32, u32)) -> Result<Vec<u8>, JsValue> {
    match frame::read(bitmap, size).await? {
        Ok(rgb) => Ok(rgb),
        Err(NotPlain) => frame::read(&on_white(bitmap, size)?.into(), size)
            .await?
            .map_err(|NotPlain| JsError::new("a white canvas came back transparent").into()),
    }
}

/// Draws a bitmap upright on a white canvas.
fn on_white(bitmap: &ImageBitmap, (width, height): (u32, u32)) -> Result<OffscreenCanvas, JsValue> {
    let canvas = OffscreenCanvas::new(width, height)?;
    let context = canvas.get_context("2d")?.ok_or_else(|| JsError::new("there is no 2D canvas"))?;
    let context: OffscreenCanvasRenderingContext2d = context.dyn_into()?;
    context.set_fill_style_str("#fff");
    context.fill_rect(0.0, 0.0, f64::from(width), f64::from(height));
    context.draw_image_with_image_bitmap(bitmap, 0.0, 0.0)?;
    Ok(canvas)
}

/// What a JavaScript error says.
fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |error| String::from(error.message()))
}

/// Closes its bitmap at the end: bitmaps hold memory that the garbage collector does not see.
struct Bitmap(ImageBitmap);

impl Drop for Bitmap {
    fn drop(&mut self) {
        self.0.close();
    }
}
