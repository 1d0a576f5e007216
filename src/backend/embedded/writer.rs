//! The writing thread: it takes all that wait, carries them out in one transaction, and answers.
//! When nobody waits, it removes what is hidden.

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

/// How long to wait before hidden rows are removed again after a failure of the file.
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
        // In this order: nobody reads any more, the file is closed.
        self.shared.publish(Err(closed()));
        if let Some(database) = database {
            // What cannot be put in order now is put in order when it is opened again.
            let _ = catch_unwind(AssertUnwindSafe(|| database.close()));
        }
    }

    /// The next message. None at once if there is something else to do.
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
            // Its sender lives as long as the store, which says when it ends.
            false => Some(jobs.recv().unwrap_or(Message::Stop)),
        }
    }

    fn open(&self) -> Result<Database> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = file::open(&self.location, &self.options, &self.shared.stats)?;
            let snapshot = Snapshot::of(&database)?;
            if self.shared.is_resident() {
                // redb forgets what it has read when it has verified it.
                snapshot.read_all()?;
            }
            self.shared.publish(Ok(snapshot));
            Ok(database)
        }));
        opened.map_err(panicked).flatten().inspect_err(|e| {
            self.shared.publish(Err(e.clone()));
        })
    }

    /// Carries out what waits, up to a commit.
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
                        // Readers should not have to wait for the next writer.
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
                // An error is one of the file, and ends the transaction of all.
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
        // A write is answered only when every later read sees it.
        let snapshot = Snapshot::of(database).map_err(Error::with_unknown_outcome)?;
        self.shared.publish(Ok(snapshot));
        Ok(())
    }
}
