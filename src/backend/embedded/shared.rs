//! State that the threads of a store share: the published snapshot. And how to run a program.

use super::errors::panicked;
use super::file::FileStats;
use super::tx::Snapshot;
use crate::backend::ordered::{Program, Transaction};
use crate::{Error, ErrorKind, Result};
use futures_util::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

/// A message in a queue.
pub(super) enum Message<T> {
    Do(T),
    Stop,
}

pub(super) struct Shared {
    /// An error while the file is not open.
    pub(super) snapshot: RwLock<Result<Arc<Snapshot>>>,
    pub(super) stats: Arc<FileStats>,
    pub(super) cache: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        snapshot.clone()
    }
    pub(super) fn publish(&self, snapshot: Result<Snapshot>) {
        let old = std::mem::replace(
            &mut *self.snapshot.write().unwrap_or_else(PoisonError::into_inner),
            snapshot.map(Arc::new),
        );
        drop(old); // outside the lock: it may free pages
    }
    /// Whether the whole file is in redb's cache. Opening has read all pages, commits keep their
    /// pages, and nothing is evicted while the file takes at most half of the cache.
    pub(super) fn is_resident(&self) -> bool {
        self.stats.max_len() <= self.cache / 2
    }
}

/// Runs a whole program.
pub(super) fn run<P: Program>(program: &P, tx: &impl Transaction) -> Result<P::Output> {
    finished(|| program.run(tx).now_or_never())
}

/// Runs one part of a program.
pub(super) fn run_part<P: Program>(
    program: &P,
    tx: &impl Transaction,
    part: usize,
) -> Result<P::Output> {
    finished(|| program.run_part(tx, part).now_or_never())
}

/// The futures of a program never wait, so one poll is enough.
fn finished<T>(polled: impl FnOnce() -> Option<Result<T>>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(polled)).map_err(panicked)?.unwrap_or_else(|| {
        Err(Error::new(ErrorKind::Other, "a program waited for something other than the engine"))
    })
}
