//! The writing thread: it takes all that wait, carries them out in one transaction, and answers.

use super::EmbeddedOptions;
use super::errors::{self, closed, panicked};
use super::file::{self, Place};
use super::shared::{Message, Shared, run, snapshot_of};
use super::tx::{ROWS, WriteTx};
use crate::backend::ordered::Program;
use crate::{Error, ErrorKind, Result};
use crossbeam_channel::Receiver;
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The most programs that share a commit.
const GROUP: usize = 1_024;

/// The longest wait for more of them.
const MOST_PATIENT: Duration = Duration::from_millis(2);

/// A program that shares a commit, and whoever waits for it.
pub(super) trait Grouped: Send {
    fn run(&mut self, tx: &WriteTx<'_>);
    /// Answers, now that the commit has ended.
    fn finish(&mut self, committed: Result<(), &Error>);
}

pub(super) struct Job<P: Program> {
    pub(super) program: Arc<P>,
    pub(super) output: Option<Result<P::Output>>,
    pub(super) reply: Option<oneshot::Sender<Result<P::Output>>>,
}

impl<P: Program> Grouped for Job<P> {
    fn run(&mut self, tx: &WriteTx<'_>) {
        self.output = Some(run(&*self.program, tx));
    }
    fn finish(&mut self, committed: Result<(), &Error>) {
        // What a program answered rests on a state that a failed commit has made void.
        let result = match committed {
            Ok(()) => self.output.take().unwrap_or_else(|| Err(closed())),
            Err(e) => Err(e.clone()),
        };
        self.answer(result);
    }
}

impl<P: Program> Job<P> {
    fn answer(&mut self, result: Result<P::Output>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(result); // nobody waits any more
        }
    }
}

/// One that still stands in the queue when the store is closed is known not to be applied.
impl<P: Program> Drop for Job<P> {
    fn drop(&mut self) {
        let error = if self.output.is_none() { closed() } else { closed().with_unknown_outcome() };
        self.answer(Err(error));
    }
}

/// A program that changes nothing. That it is in a group has the file opened again if need be.
pub(super) struct Mend(pub(super) Option<oneshot::Sender<()>>);

impl Grouped for Mend {
    fn run(&mut self, _: &WriteTx<'_>) {}
    fn finish(&mut self, _: Result<(), &Error>) {
        if let Some(reply) = self.0.take() {
            let _ = reply.send(()); // nobody waits any more
        }
    }
}

/// How long to wait for more to share a commit.
///
/// Callers who write one thing after another come back as soon as they are answered, but not all in the same
/// microsecond: a commit that began with the first of them would leave the others to the next, and half of the
/// commits would be nearly empty. So after a group of many there is a short wait for as many again. A lone
/// writer never waits.
#[derive(Default)]
struct Pace {
    last_group: usize,
    last_commit: Duration,
}

impl Pace {
    /// Fills the group; tells whether it ended with the message to stop.
    fn gather<T>(
        &self,
        first: Message<T>,
        jobs: &Receiver<Message<T>>,
        group: &mut Vec<T>,
    ) -> bool {
        let patience = match self.last_group {
            0 | 1 => Duration::ZERO,
            _ => (self.last_commit / 4).min(MOST_PATIENT),
        };
        let until = Instant::now() + patience;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Do(job) => group.push(job),
                Message::Stop => return true,
            }
            next = match group.len() {
                GROUP => None,
                n if n < self.last_group => jobs.recv_deadline(until).ok(),
                _ => jobs.try_recv().ok(),
            };
        }
        false
    }
    fn commit(&mut self, group: usize, commit: impl FnOnce()) {
        let start = Instant::now();
        commit();
        self.last_group = group;
        self.last_commit = start.elapsed();
    }
}

/// The writing thread.
pub(super) struct Writer {
    pub(super) place: Place,
    pub(super) options: EmbeddedOptions,
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn run(
        self,
        opened: oneshot::Sender<Result<()>>,
        jobs: &Receiver<Message<Box<dyn Grouped>>>,
    ) {
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
        let mut group = Vec::new();
        let mut pace = Pace::default();
        let mut stop = false;
        while !stop && let Ok(first) = jobs.recv() {
            stop = pace.gather(first, jobs, &mut group);
            pace.commit(group.len(), || self.work(&mut database, &mut group));
        }
        // In this order: nobody reads any more, the file is closed.
        self.shared.publish(Err(closed()));
        if let Some(database) = database {
            // What cannot be put in order now is put in order when it is opened again.
            let _ = catch_unwind(AssertUnwindSafe(|| database.close()));
        }
    }

    fn open(&self) -> Result<Database> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = file::open(&self.place, &self.options, &self.shared.vitals)?;
            let snapshot = snapshot_of(&database)?;
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

    /// Carries out one group.
    fn work(&self, database: &mut Option<Database>, group: &mut Vec<Box<dyn Grouped>>) {
        let result = match database.take().map_or_else(|| self.open(), Ok) {
            Ok(open) => {
                let result = catch_unwind(AssertUnwindSafe(|| self.commit(&open, group)))
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
        for mut job in group.drain(..) {
            job.finish(result.as_ref().copied());
        }
    }

    fn commit(&self, database: &Database, group: &mut [Box<dyn Grouped>]) -> Result<()> {
        let tx = database.begin_write().map_err(errors::transaction)?;
        let (changed, broken) = {
            let table = WriteTx::new(tx.open_table(ROWS).map_err(errors::table)?);
            group.iter_mut().for_each(|job| job.run(&table));
            (table.changed(), table.broken())
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
        let snapshot = snapshot_of(database).map_err(Error::with_unknown_outcome)?;
        self.shared.publish(Ok(snapshot));
        Ok(())
    }
}
