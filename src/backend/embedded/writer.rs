//! The writing thread: it takes all that wait, carries them out in one transaction, and answers.
//! When nobody waits, it removes what is hidden.

use super::EmbeddedOptions;
use super::errors::{self, closed, panicked};
use super::file::{self, Place};
use super::group::Grouped;
use super::line::{Jobs, Line};
use super::shared::{Message, Shared};
use super::tx::{Snapshot, WriteTx};
use crate::{Error, ErrorKind, Result};
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long to wait before hidden rows are removed again after a failure of the file.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The writing thread.
pub(super) struct Writer {
    pub(super) place: Place,
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
        let (mut line, mut failed) = (Line::default(), false);
        loop {
            if let Some(message) = self.wait(jobs, &line, failed) {
                line.push(message);
            }
            line.gather(jobs);
            if line.stopped && line.is_empty() {
                break;
            }
            failed = self.work(&mut database, &mut line, jobs).is_err();
        }
        // In this order: nobody reads any more, the file is closed.
        self.shared.publish(Err(closed()));
        if let Some(database) = database {
            // What cannot be put in order now is put in order when it is opened again.
            let _ = catch_unwind(AssertUnwindSafe(|| database.close()));
        }
    }

    /// The next message. None at once if there is something else to do.
    fn wait(&self, jobs: &Jobs, line: &Line, failed: bool) -> Option<Message<Box<dyn Grouped>>> {
        if line.stopped || !line.is_empty() {
            return None;
        }
        match self.shared.snapshot().is_ok_and(|snapshot| snapshot.hides()) {
            true if failed => jobs.recv_timeout(AFTER_FAILURE).ok(),
            true => jobs.try_recv().ok(),
            // Its sender lives as long as the store, which says when it ends.
            false => Some(jobs.recv().unwrap_or(Message::Stop)),
        }
    }

    fn open(&self) -> Result<Database> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = file::open(&self.place, &self.options, &self.shared.vitals)?;
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
    fn work(&self, database: &mut Option<Database>, line: &mut Line, jobs: &Jobs) -> Result<()> {
        let start = Instant::now();
        let result = match database.take().map_or_else(|| self.open(), Ok) {
            Ok(open) => {
                let result = catch_unwind(AssertUnwindSafe(|| self.commit(&open, line, jobs)))
                    .unwrap_or_else(|payload| Err(panicked(payload).with_unknown_outcome()));
                match result {
                    Ok(()) => *database = Some(open),
                    Err(_) => {
                        self.shared.publish(Err(errors::away()));
                        let _ = catch_unwind(AssertUnwindSafe(|| open.close()));
                        // Readers should not have to wait for the next writer.
                        *database = self.open().ok();
                    }
                }
                result
            }
            Err(e) => Err(e),
        };
        line.finish(&result, start.elapsed());
        result
    }

    fn commit(&self, database: &Database, line: &mut Line, jobs: &Jobs) -> Result<()> {
        let hides = self.shared.snapshot()?.hides();
        let tx = database.begin_write().map_err(errors::transaction)?;
        let (changed, broken) = {
            let tx = WriteTx::begin(&tx, hides, self.options.removal)?;
            line.run(&tx, jobs);
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
