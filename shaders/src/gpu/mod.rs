//! Crop and resize on the GPU.
//!
//! - [`device`]: finding an adapter and watching its device.
//! - [`buffers`]: buffers that live for one resize.
//! - [`pass`]: one dispatch of a compute pass.
//! - [`readback`]: from the GPU's words back to RGB bytes.
//! - [`error`]: why the GPU did not do it.

mod buffers;
mod device;
mod error;
mod pass;
mod readback;

use loupe_shared::pixels::{Rect, Rgb8};
use wgpu::BufferUsages;

pub use self::error::GpuError;

use self::buffers::Buffers;
use self::device::Device;
use self::pass::{Dispatch, Pass, Weights};
use crate::plan::Plan;

/// Bytes of the source that are on the GPU at once unless asked otherwise; a 12-megapixel picture is 36 MB.
const BAND_BYTES: u64 = 64 << 20;

/// How to use the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuOptions {
    /// Whether a software adapter will do. It is slower than the CPU path; tests use it.
    pub allow_software: bool,
    /// Most bytes of the source that are on the GPU at once; a larger crop is sent in bands of rows.
    pub band_bytes: u64,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self { allow_software: false, band_bytes: BAND_BYTES }
    }
}

/// A GPU ready to crop and resize. Make one and keep it; when it fails, use
/// [`crop_resize_cpu`](crate::crop_resize_cpu) from then on.
#[derive(Debug)]
pub struct GpuResizer {
    device: Device,
    band_bytes: u64,
    from_bytes: wgpu::ComputePipeline,
    from_words: wgpu::ComputePipeline,
}

impl GpuResizer {
    /// Finds an adapter and compiles the shaders.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::Software`] unless the options allow it, [`GpuError::Device`].
    pub async fn new(options: GpuOptions) -> Result<Self, GpuError> {
        let device = Device::open(options.allow_software).await?;
        let errors = device.raw.push_error_scope(wgpu::ErrorFilter::Validation);
        let shader = device.raw.create_shader_module(wgpu::include_wgsl!("../../wgsl/resize.wgsl"));
        let layout = pass::layout(&device.raw);
        let layout = device.raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            bind_group_layouts: &[Some(&layout)],
            ..wgpu::PipelineLayoutDescriptor::default()
        });
        let pipeline = |entry| {
            device.raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: Some(&layout),
                module: &shader,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        };
        let (from_bytes, from_words) = (pipeline("from_bytes"), pipeline("from_words"));
        if let Some(error) = errors.pop().await {
            return Err(GpuError::Device(error.to_string()));
        }
        let band_bytes = options.band_bytes.min(device.max_buffer);
        Ok(Self { device, band_bytes, from_bytes, from_words })
    }

    /// Cuts `rect` out of `source` and resizes it to `width` x `height`: the bytes of Pillow's bicubic, as
    /// [`crop_resize_cpu`](crate::crop_resize_cpu) gives them.
    ///
    /// Both passes and the copy back are one submission; only a source of several bands needs more.
    ///
    /// # Errors
    /// [`GpuError::Pixels`] for a wrong request; [`GpuError::TooLarge`] or [`GpuError::Device`] when the CPU should
    /// do it.
    pub async fn crop_resize(
        &self,
        source: &Rgb8,
        rect: Rect,
        width: u32,
        height: u32,
    ) -> Result<Rgb8, GpuError> {
        self.device.check()?;
        let plan = Plan::new(source, rect, (width, height), self.band_bytes)?;
        let (needed, limit) = (plan.largest_buffer(), self.device.max_buffer);
        if needed > limit {
            return Err(GpuError::TooLarge { needed, limit });
        }
        let buffers = Buffers::new(&self.device);
        let answer = self.submit(&plan, source, &buffers);
        readback::read_rgb(&self.device, &answer, (width, height)).await
    }

    /// Sends the work off and returns the buffer that will hold the result.
    fn submit(&self, plan: &Plan, source: &Rgb8, buffers: &Buffers<'_>) -> wgpu::Buffer {
        let between = buffers.empty(plan.between_bytes(), BufferUsages::STORAGE);
        let result = buffers.empty(plan.result_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        let answer = buffers.empty(plan.result_bytes(), BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let mut commands = self.encode_first(plan, source, &between, buffers);
        let second = Dispatch {
            pipeline: &self.from_words,
            pass: Pass::new(&plan.second, &(0..plan.second.height), 0),
            source: &between,
            weights: &Weights::upload(buffers, &plan.second.axis),
            result: &result,
        };
        second.encode(&self.device.raw, buffers, &mut commands);
        commands.copy_buffer_to_buffer(&result, 0, &answer, 0, plan.result_bytes());
        self.device.queue.submit([commands.finish()]);
        answer
    }

    /// The first pass, band by band through one buffer: every band but the last is submitted before the next is
    /// written. Returns the last one's commands for the rest of the work.
    fn encode_first(
        &self,
        plan: &Plan,
        source: &Rgb8,
        between: &wgpu::Buffer,
        buffers: &Buffers<'_>,
    ) -> wgpu::CommandEncoder {
        let pixels = buffers.empty(plan.band_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_DST);
        let weights = Weights::upload(buffers, &plan.first.axis);
        let begin = || self.device.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut commands = begin();
        for (at, band) in plan.bands.iter().enumerate() {
            if at > 0 {
                self.device.queue.submit([std::mem::replace(&mut commands, begin()).finish()]);
            }
            buffers.fill(&pixels, &source.data()[band.bytes.clone()]);
            let first = Dispatch {
                pipeline: &self.from_bytes,
                pass: Pass::new(&plan.first, &band.rows, band.skip),
                source: &pixels,
                weights: &weights,
                result: between,
            };
            first.encode(&self.device.raw, buffers, &mut commands);
        }
        commands
    }
}
