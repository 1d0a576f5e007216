//! The writing thread. It runs all queued jobs in one transaction, commits, and sends the replies.
//! When the queue is empty, it deletes hidden rows.

use super::EmbeddedOptions;
use super::commit_job::CommitJob;
use super::errors::{self, closed, panicked};
use super::file::{self, Location};
use super::queue::{CommitQueue, Jobs};
use super::shared::{Message, Shared};
use super::tx::{Snapshot, WriteTx};
use crate::{Error, ErrorKind, Result};
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The wait before background deletion continues after an I/O error.
const DELETE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The writing thread.
pub(super) struct Writer {
    pub(super) location: Location,
    pub(super) options: EmbeddedOptions,
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn run(self, opened: oneshot::Sender<Result<()>>, jobs: &Jobs) {
        let mut database = match self.open() {
            Ok(database) => {
                let _ = opened.send(Ok(()));
                Some(database)
            }
            Err(e) => {
                let _ = opened.send(Err(e));
                return;
            }
        };
        let (mut queue, mut failed) = (CommitQueue::default(), false);
        loop {
            if let Some(message) = self.wait(jobs, &queue, failed) {
                queue.push(message);
            }
            queue.gather(jobs);
            if queue.stopped && queue.is_empty() {
                break;
            }
            failed = self.work(&mut database, &mut queue, jobs).is_err();
        }
        // In this order: when the file is closed, no reader is left.
        self.shared.publish(Err(closed()));
        if let Some(database) = database {
            // If closing fails, the next open repairs the file.
            let _ = catch_unwind(AssertUnwindSafe(|| database.close()));
        }
    }

    /// The next message; `None` at once if there is other work.
    fn wait(
        &self,
        jobs: &Jobs,
        queue: &CommitQueue,
        failed: bool,
    ) -> Option<Message<Box<dyn CommitJob>>> {
        if queue.stopped || !queue.is_empty() {
            return None;
        }
        match self.shared.snapshot().is_ok_and(|snapshot| snapshot.has_hidden()) {
            true if failed => jobs.recv_timeout(DELETE_RETRY_DELAY).ok(),
            true => jobs.try_recv().ok(),
            // The sender lives as long as the store, which sends `Stop`.
            false => Some(jobs.recv().unwrap_or(Message::Stop)),
        }
    }

    fn open(&self) -> Result<Database> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = file::open(&self.location, &self.options, &self.shared.stats)?;
            let snapshot = Snapshot::of(&database)?;
            if self.shared.is_resident() {
                // Verification has emptied redb's cache.
                snapshot.read_all()?;
            }
            self.shared.publish(Ok(snapshot));
            Ok(database)
        }));
        opened.map_err(panicked).flatten().inspect_err(|e| {
            self.shared.publish(Err(e.clone()));
        })
    }

    /// Runs queued jobs, up to a commit.
    fn work(
        &self,
        database: &mut Option<Database>,
        queue: &mut CommitQueue,
        jobs: &Jobs,
    ) -> Result<()> {
        let start = Instant::now();
        let result = match database.take().map_or_else(|| self.open(), Ok) {
            Ok(open) => {
                let result = catch_unwind(AssertUnwindSafe(|| self.commit(&open, queue, jobs)))
                    .unwrap_or_else(|payload| Err(panicked(payload).with_unknown_outcome()));
                match result {
                    Ok(()) => *database = Some(open),
                    Err(_) => {
                        self.shared.publish(Err(errors::reopening()));
                        let _ = catch_unwind(AssertUnwindSafe(|| open.close()));
                        // So that readers do not have to wait for the next writer.
                        *database = self.open().ok();
                    }
                }
                result
            }
            Err(e) => Err(e),
        };
        queue.finish(&result, start.elapsed());
        result
    }

    fn commit(&self, database: &Database, queue: &mut CommitQueue, jobs: &Jobs) -> Result<()> {
        let has_hidden = self.shared.snapshot()?.has_hidden();
        let tx = database.begin_write().map_err(errors::transaction)?;
        let (changed, broken) = {
            let tx = WriteTx::begin(&tx, has_hidden, self.options.delete_limits)?;
            queue.run(&tx, jobs);
            if !tx.broken() {
                // An error marks the transaction as broken.
                let _ = tx.remove_hidden();
            }
            (tx.changed(), tx.broken())
        };
        if broken {
            let _ = tx.abort();
            return Err(Error::new(ErrorKind::Unavailable, "the file cannot be written"));
        }
        if !changed {
            return tx.abort().map_err(errors::storage);
        }
        tx.commit().map_err(|e| errors::commit(e).with_unknown_outcome())?;
        // Every read that starts after the reply must see the write.
        let snapshot = Snapshot::of(database).map_err(Error::with_unknown_outcome)?;
        self.shared.publish(Ok(snapshot));
        Ok(())
    }
}
