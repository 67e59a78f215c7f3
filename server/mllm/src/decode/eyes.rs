//! The thread that looks at pictures, so that those who write do not wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use loupe_shared::pixels::Rgb8;
use rayon::ThreadPool;

use super::pictures::{Embedding, PictureHash};
use super::worker::Message;
use crate::loaded::{Loaded, Served};

/// Orders to look at pictures.
#[derive(Debug)]
pub(super) struct Eyes {
    pub(super) orders: Sender<(PictureHash, Arc<Rgb8>)>,
}

impl Eyes {
    /// Starts the thread; what it sees goes to `reports`. It ends when these eyes are dropped.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn open(loaded: Arc<Loaded<Served>>, reports: Sender<Message>) -> std::io::Result<Self> {
        let (orders, received) = channel();
        // Threads of their own: the large products of a tower would keep those of a step waiting, where the system
        // lets both go on.
        let threads = crate::threads::pool("loupe-look")?;
        let thread = std::thread::Builder::new().name("loupe-eyes".to_owned());
        thread.spawn(move || look(&loaded, &threads, &received, &reports))?;
        Ok(Self { orders })
    }

    /// Asks for the embedding of a picture. What is asked for is looked at, whoever has gone meanwhile, and keeps its
    /// pixels in memory: ask for one at a time.
    pub(super) fn look_at(&self, hash: PictureHash, picture: Arc<Rgb8>) {
        // The thread outlives these eyes: nothing that it does can end it.
        self.orders.send((hash, picture)).ok();
    }
}

fn look(
    loaded: &Loaded<Served>,
    threads: &ThreadPool,
    orders: &Receiver<(PictureHash, Arc<Rgb8>)>,
    reports: &Sender<Message>,
) {
    while let Ok((hash, picture)) = orders.recv() {
        let seen = catch_unwind(AssertUnwindSafe(|| threads.install(|| loaded.see(&picture))));
        let seen: Result<Embedding, String> = match seen {
            Ok(Ok(seen)) if seen.iter().all(|number| number.is_finite()) => Ok(Arc::new(seen)),
            Ok(Ok(_)) => Err("the model makes numbers of the picture that are not finite".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_panic) => Err("looking at a picture broke off".to_owned()),
        };
        if reports.send(Message::Seen(hash, seen)).is_err() {
            return;
        }
    }
}
