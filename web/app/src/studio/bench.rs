//! The picture in the worker and how it is cut.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use loupe_shaders::{GpuOptions, GpuResizer, crop_resize_cpu, decode_picture};
use loupe_shared::pixels::{PixelError, Rect, Region, Rgb8};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::message::Reply;
use crate::flow::open::{UNLIMITED, refused};
use crate::model::png;
use crate::model::problem::Problem;
use crate::model::session::CutBy;
use crate::model::upload::travel_size;

/// The worker's bench: one picture, and the GPU once it was looked for.
#[derive(Default)]
pub(crate) struct Bench {
    picture: RefCell<Option<Rc<Rgb8>>>,
    gpu: RefCell<Gpu>,
}

/// What is known of the GPU.
#[derive(Default, Clone)]
enum Gpu {
    /// Nobody asked yet.
    #[default]
    Unknown,
    /// It works.
    Ready(Rc<GpuResizer>),
    /// There is none, only a software one, or it failed.
    Absent,
}

impl Bench {
    /// Decodes a file and keeps its pixels. The page has held it against the server's limits before.
    pub(crate) async fn open(&self, file: &Blob) -> Result<Reply, Problem> {
        let buffer = JsFuture::from(file.array_buffer()).await.map_err(|_error| Problem::unreadable())?;
        let file = Uint8Array::new(&buffer).to_vec();
        // The old picture goes first: two large ones may not fit into memory.
        self.picture.replace(None);
        let picture = decode_picture(&file, UNLIMITED).await.map_err(|error| refused(&error))?;
        let size = (picture.width(), picture.height());
        self.picture.replace(Some(Rc::new(picture)));
        Ok(Reply::Opened(size.0, size.1))
    }

    /// Cuts a part and writes it as PNG at the size at which it travels. The bytes do not depend on who cuts.
    pub(crate) async fn cut(
        &self,
        region: &Region,
        max_pixels: u32,
        by: Option<CutBy>,
    ) -> Result<Reply, Problem> {
        let picture = self.picture.borrow().clone().ok_or_else(no_picture)?;
        let rect = Rect::of_region(region, (picture.width(), picture.height()))
            .map_err(|error| cannot_cut(&error))?;
        let (width, height) = travel_size(rect.width(), rect.height(), max_pixels);
        let (pixels, by) = match self.on_gpu(&picture, rect, (width, height), by).await {
            Some(pixels) => (pixels, CutBy::Gpu),
            None => {
                let pixels =
                    crop_resize_cpu(&picture, rect, width, height).map_err(|error| cannot_cut(&error))?;
                (pixels, CutBy::Cpu)
            }
        };
        Ok(Reply::Cut(Uint8Array::from(&*png::encode(&pixels)), by))
    }

    /// Cuts on the GPU; `None` where the CPU is to do it.
    async fn on_gpu(&self, picture: &Rgb8, rect: Rect, size: (u32, u32), by: Option<CutBy>) -> Option<Rgb8> {
        if by == Some(CutBy::Cpu) {
            return None;
        }
        let gpu = self.gpu(by == Some(CutBy::Gpu)).await?;
        match gpu.crop_resize(picture, rect, size.0, size.1).await {
            Ok(pixels) => Some(pixels),
            Err(error) => {
                // The device may be lost for good; the CPU gives the same bytes.
                web_sys::console::info_1(&format!("the GPU did not cut: {error}").into());
                self.gpu.replace(Gpu::Absent);
                None
            }
        }
    }

    /// The GPU, looked for once. A software adapter is slower than the CPU and only used when the GPU is asked for.
    async fn gpu(&self, allow_software: bool) -> Option<Rc<GpuResizer>> {
        let known = self.gpu.borrow().clone();
        match known {
            Gpu::Ready(gpu) => return Some(gpu),
            Gpu::Absent => return None,
            Gpu::Unknown => {}
        }
        let found =
            GpuResizer::new(GpuOptions { allow_software, ..GpuOptions::default() }).await.ok().map(Rc::new);
        self.gpu.replace(found.clone().map_or(Gpu::Absent, Gpu::Ready));
        found
    }
}

fn no_picture() -> Problem {
    Problem::new("no_picture", "There is no picture to cut.", "Open the picture again.")
}

fn cannot_cut(error: &PixelError) -> Problem {
    Problem::new("cannot_cut", format!("This part cannot be cut: {error}."), "Draw another frame.")
}
