//! From the GPU's words back to RGB bytes.

use futures_channel::oneshot;
use loupe_shared::pixels::{PixelError, Rgb8};

use super::device::Device;
use super::error::GpuError;
use crate::plan::WORD;

/// Waits for a buffer of one word per pixel and takes the colours out of it.
///
/// # Errors
/// [`GpuError::Device`] when the device failed or was lost on the way.
pub(super) async fn read_rgb(
    device: &Device,
    buffer: &wgpu::Buffer,
    (width, height): (u32, u32),
) -> Result<Rgb8, GpuError> {
    let (done, mapped) = oneshot::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |outcome| {
        // Nobody waits any more when the caller's future was dropped.
        drop(done.send(outcome));
    });
    // In the browser this does nothing: the event loop delivers the answer.
    device
        .raw
        .poll(wgpu::PollType::wait_indefinitely())
        .map_err(|error| GpuError::Device(error.to_string()))?;
    let outcome = mapped.await;
    device.check()?;
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(GpuError::Device(error.to_string())),
        Err(_canceled) => return Err(GpuError::Device("the device dropped the answer".to_owned())),
    }
    let view = buffer.get_mapped_range(..).map_err(|error| GpuError::Device(error.to_string()))?;
    let colours = view.chunks_exact(WORD as usize).flat_map(|word| &word[..3]).copied().collect();
    drop(view);
    buffer.unmap();
    Rgb8::new(width, height, colours).map_err(|_mismatch| PixelError::Size { width, height }.into())
}
