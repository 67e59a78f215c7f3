//! Buffers that live for one resize.

use std::cell::RefCell;

use wgpu::BufferUsages;

use super::device::Device;
use crate::plan::WORD;

/// Makes buffers and destroys them at the end. In the browser a dropped buffer keeps its memory until the garbage
/// collector finds it, and that does not know that it is 36 MB.
pub(super) struct Buffers<'a> {
    device: &'a Device,
    made: RefCell<Vec<wgpu::Buffer>>,
}

impl<'a> Buffers<'a> {
    pub(super) fn new(device: &'a Device) -> Self {
        Self { device, made: RefCell::default() }
    }

    /// An empty buffer of at least `bytes`.
    pub(super) fn empty(&self, bytes: u64, usage: BufferUsages) -> wgpu::Buffer {
        let buffer = self.device.raw.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.next_multiple_of(WORD),
            usage,
            mapped_at_creation: false,
        });
        self.made.borrow_mut().push(buffer.clone());
        buffer
    }

    /// A buffer that holds `bytes`.
    pub(super) fn holding(&self, bytes: &[u8], usage: BufferUsages) -> wgpu::Buffer {
        let buffer = self.empty(bytes.len() as u64, usage | BufferUsages::COPY_DST);
        self.fill(&buffer, bytes);
        buffer
    }

    /// Writes `bytes` to the start of a buffer, with the last word filled up by zeros.
    pub(super) fn fill(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % WORD as usize);
        self.device.queue.write_buffer(buffer, 0, words);
        if !rest.is_empty() {
            let mut last = [0; WORD as usize];
            last[..rest.len()].copy_from_slice(rest);
            self.device.queue.write_buffer(buffer, words.len() as u64, &last);
        }
    }
}

impl Drop for Buffers<'_> {
    fn drop(&mut self) {
        self.made.borrow().iter().for_each(wgpu::Buffer::destroy);
    }
}
