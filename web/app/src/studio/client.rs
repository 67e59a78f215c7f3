//! The page's side of the studio.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Promise, Uint8Array};
use loupe_shared::pixels::Region;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Event, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::message::{READY, Reply, Request, read_reply, write_request};
use crate::model::problem::Problem;
use crate::model::session::CutBy;

/// A handle on the worker; clones share it.
#[derive(Clone)]
pub(crate) struct Studio {
    inner: Rc<Inner>,
}

struct Inner {
    worker: Worker,
    waiting: Rc<Waiting>,
    ready: Promise,
    _listeners: [Closure<dyn FnMut(Event)>; 2],
}

/// Who waits for which reply.
#[derive(Default)]
struct Waiting {
    next: Cell<u32>,
    resolve: RefCell<Vec<(u32, Function)>>,
}

impl Waiting {
    /// A new id and the promise of its reply.
    fn expect(&self) -> (u32, Promise) {
        let id = self.next.get();
        self.next.set(id + 1);
        let promise = Promise::new(&mut |resolve, _reject| {
            self.resolve.borrow_mut().push((id, resolve));
        });
        (id, promise)
    }

    fn settle(&self, id: u32, with: &JsValue) {
        let waits = self.resolve.borrow().iter().position(|(waits_for, _)| *waits_for == id);
        let resolve = waits.map(|at| self.resolve.borrow_mut().swap_remove(at).1);
        if let Some(resolve) = resolve
            && resolve.call1(&JsValue::NULL, with).is_err()
        {
            web_sys::console::warn_1(&"a reply of the worker could not be passed on".into());
        }
    }

    /// The worker is broken: nobody needs to wait any more.
    fn settle_all(&self) {
        let ids: Vec<u32> = self.resolve.borrow().iter().map(|(id, _)| *id).collect();
        for id in ids {
            self.settle(id, &JsValue::NULL);
        }
    }
}

impl PartialEq for Studio {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Studio {
    /// Starts the worker.
    ///
    /// # Errors
    /// A [`Problem`] where the browser has no module workers.
    pub(crate) fn start(script: &str) -> Result<Self, Problem> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(script, &options).map_err(|_error| no_worker())?;
        let waiting = Rc::new(Waiting::default());
        let (_ready_id, ready) = waiting.expect();
        let on_message = {
            let waiting = Rc::clone(&waiting);
            Closure::new(move |event: Event| {
                let Some(event) = event.dyn_ref::<MessageEvent>() else { return };
                if let Ok((id, _)) = read_reply(&event.data()) {
                    waiting.settle(id, &event.data());
                }
            })
        };
        let on_error = {
            let waiting = Rc::clone(&waiting);
            Closure::new(move |_event: Event| waiting.settle_all())
        };
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let inner = Inner { worker, waiting, ready, _listeners: [on_message, on_error] };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Takes a file as the picture and gives its upright width and height.
    ///
    /// # Errors
    /// A [`Problem`] for a file that is damaged or no picture.
    pub(crate) async fn open(&self, file: Blob) -> Result<(u32, u32), Problem> {
        match self.call(&Request::Open { file }).await? {
            Reply::Opened(width, height) => Ok((width, height)),
            other => Err(failure(other)),
        }
    }

    /// Cuts a part of the picture, as PNG at the size at which it travels.
    ///
    /// # Errors
    /// A [`Problem`] when no picture is open or the part cannot be cut.
    pub(crate) async fn cut(
        &self,
        region: Region,
        max_pixels: u32,
        by: Option<CutBy>,
    ) -> Result<(Uint8Array, CutBy), Problem> {
        match self.call(&Request::Cut { region, max_pixels, by }).await? {
            Reply::Cut(png, by) => Ok((png, by)),
            other => Err(failure(other)),
        }
    }

    async fn call(&self, request: &Request) -> Result<Reply, Problem> {
        let Inner { worker, waiting, ready, .. } = &*self.inner;
        let listening = JsFuture::from(ready.clone()).await.map_err(|_error| no_worker())?;
        if listening.is_null() {
            return Err(no_worker());
        }
        let (id, reply) = waiting.expect();
        let message = write_request(id, request).map_err(|_error| no_worker())?;
        worker.post_message(&message).map_err(|_error| no_worker())?;
        let reply = JsFuture::from(reply).await.map_err(|_error| no_worker())?;
        read_reply(&reply).map(|(_, reply)| reply).map_err(|_error| no_worker())
    }
}

fn failure(reply: Reply) -> Problem {
    match reply {
        Reply::Failed(problem) => problem,
        _ => no_worker(),
    }
}

fn no_worker() -> Problem {
    Problem::new(
        "no_worker",
        "This browser did not start the part of Loupe that cuts pictures.",
        "Reload the page. If that does not help, use a browser of 2023 or newer.",
    )
}

const _: () = assert!(READY == 0, "the first promise that `Waiting` gives out is the one of `Ready`");
