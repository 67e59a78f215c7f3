//! Finding an adapter and watching its device.

use std::sync::{Arc, OnceLock};

use super::error::GpuError;

/// A device whose first failure is remembered.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) raw: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Largest buffer that a shader may bind, in bytes.
    pub(super) max_buffer: u64,
    fault: Arc<OnceLock<String>>,
}

impl Device {
    /// Asks for an adapter and a device with all that the adapter allows.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::Software`] unless allowed, [`GpuError::Device`].
    pub(super) async fn open(allow_software: bool) -> Result<Self, GpuError> {
        let adapter = find_adapter().await?;
        let info = adapter.get_info();
        if info.device_type == wgpu::DeviceType::Cpu && !allow_software {
            return Err(GpuError::Software(info.name));
        }
        let limits = adapter.limits();
        let max_buffer = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let wanted = wgpu::DeviceDescriptor {
            label: Some("loupe pixels"),
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (raw, queue) =
            adapter.request_device(&wanted).await.map_err(|error| GpuError::Device(error.to_string()))?;
        Ok(Self { fault: watch(&raw), raw, queue, max_buffer })
    }

    /// Refuses a device that has failed.
    ///
    /// # Errors
    /// [`GpuError::Device`] with the first failure.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        self.fault.get().map_or(Ok(()), |fault| Err(GpuError::Device(fault.clone())))
    }
}

/// The browser's adapter, or the system's.
async fn find_adapter() -> Result<wgpu::Adapter, GpuError> {
    let mut wanted = wgpu::InstanceDescriptor::new_without_display_handle();
    wanted.backends = wgpu::Backends::BROWSER_WEBGPU | wgpu::Backends::VULKAN;
    // Some browsers have `navigator.gpu` and no adapter behind it.
    let instance = wgpu::util::new_instance_with_webgpu_detection(wanted).await;
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    instance.request_adapter(&options).await.map_err(|error| GpuError::NoAdapter(error.to_string()))
}

/// Keeps the first error that nothing else catches, or the loss of the device.
fn watch(device: &wgpu::Device) -> Arc<OnceLock<String>> {
    let fault = Arc::new(OnceLock::new());
    let uncaught = Arc::clone(&fault);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        uncaught.get_or_init(|| error.to_string());
    }));
    let lost = Arc::clone(&fault);
    device.set_device_lost_callback(move |reason, message| {
        lost.get_or_init(|| format!("the device was lost ({reason:?}): {message}"));
    });
    fault
}
