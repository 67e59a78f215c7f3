//! Asking the browser for a crop: it alone has the full-resolution original.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loupe_shared::ids::{CallId, ImageId};
use tokio::sync::oneshot;

use super::live::LiveRun;

/// Where a run's requests for crops wait for their answers.
#[derive(Debug, Default)]
pub struct CropDesk {
    browsers: AtomicUsize,
    requests: Mutex<HashMap<CallId, oneshot::Sender<ImageId>>>,
}

/// A browser that follows the run and can cut crops; it goes when this is dropped.
#[derive(Debug)]
pub struct Attached(Arc<LiveRun>);

impl Attached {
    /// Counts a browser in.
    #[must_use]
    pub fn new(run: Arc<LiveRun>) -> Self {
        run.crops.browsers.fetch_add(1, Ordering::Relaxed);
        Self(run)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.crops.browsers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CropDesk {
    /// Whether a browser is there to cut crops.
    #[must_use]
    pub fn has_browser(&self) -> bool {
        self.browsers.load(Ordering::Relaxed) > 0
    }

    /// Opens a request; the answer comes through the receiver.
    pub fn open(&self, call: &CallId) -> oneshot::Receiver<ImageId> {
        let (sender, receiver) = oneshot::channel();
        self.requests().insert(call.clone(), sender);
        receiver
    }

    /// Ends a request that was not answered in time.
    pub fn close(&self, call: &CallId) {
        self.requests().remove(call);
    }

    /// Whether a call waits for a crop.
    #[must_use]
    pub fn waits(&self, call: &CallId) -> bool {
        self.requests().contains_key(call)
    }

    /// Answers a request; false when the call does not wait for a crop (any more).
    pub fn answer(&self, call: &CallId, image: ImageId) -> bool {
        let sender = self.requests().remove(call);
        sender.is_some_and(|sender| sender.send(image).is_ok())
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<CallId, oneshot::Sender<ImageId>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
