//! The same crop and resize without a GPU: for the worker, and where there is no adapter.

use loupe_shared::pixels::{PixelError, Rect, Rgb8, crop, resize};

/// Cuts `rect` out of `source` and resizes it to `width` x `height`; the bytes are those of
/// [`GpuResizer::crop_resize`](crate::GpuResizer::crop_resize).
///
/// # Errors
/// [`PixelError`] for a rectangle outside the picture or an impossible target.
pub fn crop_resize_cpu(source: &Rgb8, rect: Rect, width: u32, height: u32) -> Result<Rgb8, PixelError> {
    if rect == Rect::whole(source) {
        return resize(source, width, height);
    }
    resize(&crop(source, rect)?, width, height)
}
