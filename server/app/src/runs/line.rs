//! Runs get their turn in the order they came, as many at a time as there are places; who waits is told how many are
//! before it.

use std::collections::VecDeque;
use std::sync::Arc;

use loupe_shared::protocol::{Event, Queued};
use tokio::sync::Mutex;

use super::live::LiveRun;
use super::log::LogError;
use crate::metrics::{WAITING, WORKING};

/// Most runs that wait; more are refused, so that nobody waits for hours without knowing.
pub const MAX_WAITING: usize = 32;

/// The line of runs.
#[derive(Debug)]
pub struct Line {
    slots: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    working: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    run: Arc<LiveRun>,
    /// The position it was told last.
    told: u32,
}

impl Line {
    /// An empty line before `slots` places to work.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { slots, state: Mutex::default() }
    }

    /// Checks that another run may join.
    ///
    /// # Errors
    /// How many wait already, when that is too many.
    pub async fn check_room(&self) -> Result<(), usize> {
        let waiting = self.state.lock().await.waiting.len();
        if waiting >= MAX_WAITING { Err(waiting) } else { Ok(()) }
    }

    /// Puts a run at the end of the line and tells it its position.
    ///
    /// # Errors
    /// [`LogError`] when its log cannot be begun; it is then not in line.
    pub async fn join(&self, run: &Arc<LiveRun>) -> Result<(), LogError> {
        let mut state = self.state.lock().await;
        let told = position(&state, state.waiting.len());
        run.log.append(&Event::Queued(Queued { position: told })).await?;
        state.waiting.push_back(Waiting { run: run.clone(), told });
        self.call_next(&mut state);
        Ok(())
    }

    /// Takes a run out that has ended (`had_turn`) or was cancelled before its turn, calls the next, and tells the
    /// others their new positions.
    pub async fn leave(&self, run: &Arc<LiveRun>, had_turn: bool) {
        let mut state = self.state.lock().await;
        let place = state.waiting.iter().position(|waiting| waiting.run.id == run.id);
        match place {
            Some(place) if !had_turn => drop(state.waiting.remove(place)),
            // It was called in the same moment in which it was cancelled.
            _ => state.working -= 1,
        }
        self.call_next(&mut state);
        tell_positions(&mut state).await;
    }

    fn call_next(&self, state: &mut State) {
        while state.working < self.slots {
            let Some(next) = state.waiting.pop_front() else { break };
            state.working += 1;
            next.run.call();
        }
        metrics::gauge!(WAITING).set(state.waiting.len() as f64);
        metrics::gauge!(WORKING).set(state.working as f64);
    }
}

fn position(state: &State, place: usize) -> u32 {
    u32::try_from(state.working + place).unwrap_or(u32::MAX)
}

/// The lock is held meanwhile, so that no run is told a position after it was called.
async fn tell_positions(state: &mut State) {
    for place in 0..state.waiting.len() {
        let now = position(state, place);
        let waiting = &mut state.waiting[place];
        if waiting.told == now {
            continue;
        }
        match waiting.run.log.append(&Event::Queued(Queued { position: now })).await {
            Ok(()) => waiting.told = now,
            Err(error) => tracing::warn!(query = %waiting.run.id, %error, "a position could not be told"),
        }
    }
}
