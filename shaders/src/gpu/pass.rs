//! One dispatch of a compute pass: its uniform, its bindings, its grid.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use loupe_shared::pixels::Axis;
use wgpu::{BufferUsages, ShaderStages};

use super::buffers::Buffers;
use crate::plan::Stage;

/// Side of the shader's workgroups.
const GROUP: u32 = 8;

/// `Pass` in `resize.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Pass {
    width: u32,
    height: u32,
    first_row: u32,
    down: u32,
    stride: u32,
    step: u32,
    line: u32,
    skip: u32,
}

impl Pass {
    /// The rows `rows` of a stage, from a source that begins `skip` bytes after the crop.
    pub(super) fn new(stage: &Stage, rows: &Range<u32>, skip: u32) -> Self {
        Self {
            width: stage.width,
            height: rows.end - rows.start,
            first_row: rows.start,
            down: u32::from(stage.down),
            stride: stage.axis.stride() as u32,
            step: stage.step,
            line: stage.line,
            skip,
        }
    }
}

/// An axis' weights on the GPU.
pub(super) struct Weights {
    bounds: wgpu::Buffer,
    weights: wgpu::Buffer,
}

impl Weights {
    pub(super) fn upload(buffers: &Buffers<'_>, axis: &Axis) -> Self {
        Self {
            bounds: buffers.holding(bytemuck::cast_slice(axis.bounds()), BufferUsages::STORAGE),
            weights: buffers.holding(bytemuck::cast_slice(axis.weights()), BufferUsages::STORAGE),
        }
    }
}

/// The bindings that both passes share.
pub(super) fn layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let read = wgpu::BufferBindingType::Storage { read_only: true };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[
            entry(0, wgpu::BufferBindingType::Uniform),
            entry(1, read),
            entry(2, read),
            entry(3, read),
            entry(4, wgpu::BufferBindingType::Storage { read_only: false }),
        ],
    })
}

/// What a dispatch reads and writes.
pub(super) struct Dispatch<'a> {
    pub(super) pipeline: &'a wgpu::ComputePipeline,
    pub(super) pass: Pass,
    pub(super) source: &'a wgpu::Buffer,
    pub(super) weights: &'a Weights,
    pub(super) result: &'a wgpu::Buffer,
}

impl Dispatch<'_> {
    /// Appends the dispatch to the commands.
    pub(super) fn encode(
        &self,
        device: &wgpu::Device,
        buffers: &Buffers<'_>,
        commands: &mut wgpu::CommandEncoder,
    ) {
        let uniform = buffers.holding(bytemuck::bytes_of(&self.pass), BufferUsages::UNIFORM);
        let bound = [&uniform, self.source, &self.weights.bounds, &self.weights.weights, self.result];
        let entries: Vec<_> = (0u32..)
            .zip(bound)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(self.pass.width.div_ceil(GROUP), self.pass.height.div_ceil(GROUP), 1);
    }
}
