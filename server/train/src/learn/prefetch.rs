//! Batches made on a thread of their own, ahead of the steps that use them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use loupe_mllm::chat::Chat;

use crate::error::{Result, TrainError};
use crate::learn::batch::BatchRecipe;
use crate::learn::batch::{Batch, Place, pool, pools_of_epoch};
use crate::learn::example::ExampleSource;

/// Batches that wait to be used; pictures make one several megabytes.
const AHEAD: usize = 4;

/// An endless stream of batches.
pub struct Prefetch {
    batches: Receiver<Result<Batch>>,
    _thread: JoinHandle<()>,
}

/// What batches are made of.
pub struct Ingredients {
    /// The examples.
    pub source: Arc<dyn ExampleSource>,
    /// How they become tokens.
    pub chat: Chat,
    /// How they are put together.
    pub recipe: BatchRecipe,
    /// Seed of their order.
    pub seed: u64,
}

impl Prefetch {
    /// Starts making batches from `place` on. The thread ends when the stream is dropped.
    #[must_use]
    pub fn start(ingredients: Ingredients, place: Place) -> Self {
        let (sender, batches) = sync_channel(AHEAD);
        let thread = std::thread::spawn(move || fill(&ingredients, place, &sender));
        Self { batches, _thread: thread }
    }

    /// The next batch; waits for it.
    ///
    /// # Errors
    /// When it could not be made, or the thread has ended.
    pub fn next(&self) -> Result<Batch> {
        self.batches.recv().map_err(|_ended| TrainError::Prefetch)?
    }
}

fn fill(from: &Ingredients, place: Place, sender: &SyncSender<Result<Batch>>) {
    let mut skip = place.batch as usize;
    let pools = from.source.epoch().map(|epoch| pools_of_epoch(from.recipe.pool, epoch));
    let mut empty = 0;
    for number in place.pool.. {
        let batches = match pool(&*from.source, &from.chat, &from.recipe, from.seed, number) {
            Ok(batches) => batches,
            Err(error) => {
                // Nobody listens any more when this fails, and then nobody needs to know.
                sender.send(Err(error)).ok();
                return;
            }
        };
        empty = if batches.is_empty() { empty + 1 } else { 0 };
        if pools.is_some_and(|pools| empty >= pools) {
            sender.send(Err(TrainError::TooLong { max_length: from.recipe.max_length })).ok();
            return;
        }
        for batch in batches.into_iter().skip(std::mem::take(&mut skip)) {
            if sender.send(Ok(batch)).is_err() {
                return;
            }
        }
    }
}
