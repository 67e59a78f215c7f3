//! What travels between page and worker: plain objects, with pixels and files as transferred buffers.

use js_sys::{Array, Object, Reflect, Uint8Array};
use loupe_shared::pixels::Region;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::model::problem::Problem;
use crate::model::session::CutBy;

/// The id under which the worker says that it listens.
pub(crate) const READY: u32 = 0;

/// What the page asks of the worker.
#[derive(Debug)]
pub(crate) enum Request {
    /// Take this file as the picture.
    Open {
        /// PNG, JPEG or WebP. A blob is only a reference: nothing is copied.
        file: Blob,
    },
    /// Cut a part, at the size at which it travels.
    Cut {
        /// Which part.
        region: Region,
        /// Largest area at which it may travel, in pixels.
        max_pixels: u32,
        /// Which executor must do it; the best one where none is named.
        by: Option<CutBy>,
    },
}

/// What the worker answers.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It listens.
    Ready,
    /// The picture is open, with this upright width and height.
    Opened(u32, u32),
    /// The part as PNG.
    Cut(Uint8Array, CutBy),
    /// It did not work.
    Failed(Problem),
}

/// An object that is no message of ours. Only a broken build can send one.
#[derive(Debug)]
pub(crate) struct Malformed;

impl From<JsValue> for Malformed {
    fn from(_: JsValue) -> Self {
        Self
    }
}

/// Writes a request.
pub(crate) fn write_request(id: u32, request: &Request) -> Result<Object, Malformed> {
    let message = object(id)?;
    match request {
        Request::Open { file } => set(&message, "file", file)?,
        Request::Cut { region, max_pixels, by } => {
            for (name, value) in [("x", region.x()), ("y", region.y()), ("w", region.w()), ("h", region.h())]
            {
                set(&message, name, &value.into())?;
            }
            set(&message, "maxPixels", &(*max_pixels).into())?;
            if let Some(by) = by {
                set(&message, "by", &by.name().into())?;
            }
        }
    }
    Ok(message)
}

/// Reads a request.
pub(crate) fn read_request(message: &JsValue) -> Result<(u32, Request), Malformed> {
    let id = number(message, "id")? as u32;
    if let Ok(file) = get(message, "file")?.dyn_into::<Blob>() {
        return Ok((id, Request::Open { file }));
    }
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| number(message, name));
    let region = Region::new(x?, y?, w?, h?).map_err(|_error| Malformed)?;
    let max_pixels = number(message, "maxPixels")? as u32;
    let by = get(message, "by")?.as_string().and_then(|name| CutBy::parse(&name));
    Ok((id, Request::Cut { region, max_pixels, by }))
}

/// Writes a reply and lists the buffers to transfer with it.
pub(crate) fn write_reply(id: u32, reply: &Reply) -> Result<(Object, Array), Malformed> {
    let message = object(id)?;
    let transfer = Array::new();
    match reply {
        Reply::Ready => {}
        Reply::Opened(width, height) => {
            set(&message, "width", &(*width).into())?;
            set(&message, "height", &(*height).into())?;
        }
        Reply::Cut(png, by) => {
            set(&message, "png", png)?;
            set(&message, "by", &by.name().into())?;
            transfer.push(&png.buffer());
        }
        Reply::Failed(problem) => {
            set(&message, "code", &problem.code.as_str().into())?;
            set(&message, "message", &problem.message.as_str().into())?;
            set(&message, "hint", &problem.hint.as_str().into())?;
        }
    }
    Ok((message, transfer))
}

/// Reads a reply.
pub(crate) fn read_reply(message: &JsValue) -> Result<(u32, Reply), Malformed> {
    let id = number(message, "id")? as u32;
    if id == READY {
        return Ok((id, Reply::Ready));
    }
    if let Some(code) = get(message, "code")?.as_string() {
        let text = |name| get(message, name).map(|text| text.as_string().unwrap_or_default());
        return Ok((id, Reply::Failed(Problem::new(&code, text("message")?, text("hint")?))));
    }
    if let Ok(png) = get(message, "png")?.dyn_into::<Uint8Array>() {
        let by = get(message, "by")?.as_string().and_then(|name| CutBy::parse(&name)).ok_or(Malformed)?;
        return Ok((id, Reply::Cut(png, by)));
    }
    Ok((id, Reply::Opened(number(message, "width")? as u32, number(message, "height")? as u32)))
}

fn object(id: u32) -> Result<Object, Malformed> {
    let object = Object::new();
    set(&object, "id", &id.into())?;
    Ok(object)
}

fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), Malformed> {
    Reflect::set(object, &JsValue::from_str(name), value)?;
    Ok(())
}

fn get(object: &JsValue, name: &str) -> Result<JsValue, Malformed> {
    Ok(Reflect::get(object, &JsValue::from_str(name))?)
}

fn number(object: &JsValue, name: &str) -> Result<f64, Malformed> {
    get(object, name)?.as_f64().ok_or(Malformed)
}
