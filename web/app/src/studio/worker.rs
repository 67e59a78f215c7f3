//! The worker's side of the studio.

use std::rc::Rc;

use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use super::bench::Bench;
use super::message::{READY, Reply, Request, read_request, write_reply};

/// Starts the worker: from here on it takes requests. Called by `worker.js`.
#[wasm_bindgen]
pub fn start_worker() {
    let Ok(scope) = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() else { return };
    let bench = Rc::new(Bench::default());
    let on_message = {
        let scope = scope.clone();
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let (scope, bench) = (scope.clone(), Rc::clone(&bench));
            wasm_bindgen_futures::spawn_local(async move { serve(&scope, &bench, &event.data()).await });
        })
    };
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The listener lives as long as the worker does.
    on_message.forget();
    send(&scope, READY, &Reply::Ready);
}

async fn serve(scope: &DedicatedWorkerGlobalScope, bench: &Bench, message: &JsValue) {
    let Ok((id, request)) = read_request(message) else { return };
    let reply = match request {
        Request::Open { file } => bench.open(&file).await,
        Request::Cut { region, max_pixels, by } => bench.cut(&region, max_pixels, by).await,
    };
    send(scope, id, &reply.unwrap_or_else(Reply::Failed));
}

fn send(scope: &DedicatedWorkerGlobalScope, id: u32, reply: &Reply) {
    let Ok((message, transfer)) = write_reply(id, reply) else { return };
    if scope.post_message_with_transfer(&message, &transfer).is_err() {
        web_sys::console::warn_1(&"the worker could not reply".into());
    }
}
