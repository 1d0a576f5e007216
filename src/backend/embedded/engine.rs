//! The engine: one thread that writes, some that read, and the callers' own for what is in memory.
//!
//! ```text
//!  write ──► queue ──► writing thread: all that wait, in one redb transaction; one sync; answers
//!                           │ publishes
//!  long read ──► queue ──► reading threads ──► snapshot
//!  short read ─────────────────────────────────► snapshot, while the whole file is in memory
//! ```
//!
//! There is one writer, so programs never conflict. They share a transaction and its sync: a group commit. A
//! program applies its changes last and at once, so one that fails leaves nothing behind in the transaction
//! of the others. The snapshot is replaced before the writers are answered, so a read sees every write that was
//! answered before it began.
//!
//! After a failure of the file, redb refuses everything until it is opened again. The writing thread tries that
//! before each group, as long as it takes; a read that has failed sends it an empty one, and is tried once more.

use super::EmbeddedOptions;
use super::errors::{self, closed, panicked};
use super::file::{self, Place, Vitals, without_waiting};
use super::tx::{ROWS, Snapshot, WriteTx};
use crate::backend::ordered::{Access, Engine, EngineLimits, Program, Transaction};
use crate::{Error, ErrorKind, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_util::FutureExt;
use redb::{Database, ReadableDatabase};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};
use tokio::sync::oneshot;

/// The most rows that a read may touch on its caller's thread: some 50 µs of work.
const SHORT: usize = 64;

/// The most programs that share a commit.
const GROUP: usize = 1_024;

#[derive(Debug)]
pub(super) struct Redb {
    shared: Arc<Shared>,
    writes: Sender<Message<Box<dyn Grouped>>>,
    reads: Sender<Message<Box<dyn FnOnce() + Send>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    readers: usize,
}

enum Message<T> {
    Do(T),
    Stop,
}

struct Shared {
    /// An error while the file is not open.
    snapshot: RwLock<Result<Arc<Snapshot>>>,
    vitals: Arc<Vitals>,
    cache: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("vitals", &self.vitals).finish_non_exhaustive()
    }
}

impl Shared {
    fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        snapshot.as_ref().map(Arc::clone).map_err(Error::without_source)
    }
    fn publish(&self, snapshot: Result<Snapshot>) {
        let old = std::mem::replace(
            &mut *self.snapshot.write().unwrap_or_else(PoisonError::into_inner),
            snapshot.map(Arc::new),
        );
        drop(old); // outside the lock: it may give pages back
    }
    /// Whether every page of the file that a read may meet is in redb's cache: opening has read them all,
    /// commits leave them there, and nothing was evicted if the file has never taken more than half of it.
    fn is_resident(&self) -> bool {
        self.vitals.longest() <= self.cache / 2
    }
}

fn snapshot_of(database: &Database) -> Result<Snapshot> {
    let tx = database.begin_read().map_err(errors::transaction)?;
    tx.open_table(ROWS).map(Snapshot).map_err(errors::table)
}

impl Redb {
    pub(super) async fn open(place: Place, options: EmbeddedOptions) -> Result<Self> {
        let vitals = Arc::new(Vitals::default());
        let cache = if options.verify { options.cache as u64 } else { 0 };
        let shared = Arc::new(Shared { snapshot: RwLock::new(Err(closed())), vitals, cache });
        let (writes, writes_in) = unbounded();
        let (reads, reads_in) = unbounded();
        let (opened, answer) = oneshot::channel();
        let writer = Writer { place, options, shared: shared.clone() };
        let mut threads = vec![spawn("kvs-write", move || writer.run(opened, &writes_in))?];
        let readers = options.readers.max(1);
        for _ in 0..readers {
            let reads_in = reads_in.clone();
            threads.push(spawn("kvs-read", move || read_all(&reads_in))?);
        }
        let engine = Redb { shared, writes, reads, threads: Mutex::new(threads), readers };
        answer.await.map_err(|_| closed())??;
        Ok(engine)
    }

    /// Ends the threads and closes the file, and waits for it.
    pub(super) fn stop(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.is_empty() {
            return;
        }
        // Whoever has ended already does not hear it.
        let _ = self.writes.send(Message::Stop);
        for _ in 0..self.readers {
            let _ = self.reads.send(Message::Stop);
        }
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }

    #[cfg(test)]
    pub(super) fn vitals(&self) -> &Vitals {
        &self.shared.vitals
    }
    /// How much waits for the writing thread.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.writes.len()
    }

    async fn read<P: Program>(&self, program: &Arc<P>) -> Result<P::Output> {
        match self.read_once(program).await {
            Err(e) if self.can_be_mended(&e) && self.mend().await => self.read_once(program).await,
            result => result,
        }
    }

    async fn read_once<P: Program>(&self, program: &Arc<P>) -> Result<P::Output> {
        if program.most_rows() <= SHORT && self.shared.is_resident() {
            let snapshot = self.shared.snapshot()?;
            return without_waiting(|| run(&**program, &*snapshot));
        }
        let (shared, program) = (self.shared.clone(), program.clone());
        let (reply, answer) = oneshot::channel();
        let job = move || {
            let result = shared.snapshot().and_then(|snapshot| run(&*program, &*snapshot));
            let _ = reply.send(result); // nobody waits any more
        };
        self.reads.send(Message::Do(Box::new(job))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Whether a read may have failed because the file has to be opened again.
    fn can_be_mended(&self, e: &Error) -> bool {
        e.kind() == ErrorKind::Unavailable || self.shared.snapshot().is_err()
    }

    /// Has the writing thread open the file again if it must. Whether it was there to do so.
    async fn mend(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Mend(Some(reply)));
        self.writes.send(Message::Do(job)).is_ok() && answer.await.is_ok()
    }

    async fn write<P: Program>(&self, program: &Arc<P>) -> Result<P::Output> {
        let (reply, answer) = oneshot::channel();
        let job = Job { program: program.clone(), output: None, reply: Some(reply) };
        self.writes.send(Message::Do(Box::new(job))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed().with_unknown_outcome())?
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Engine for Redb {
    const NAME: &'static str = "embedded";

    fn limits(&self) -> EngineLimits {
        EngineLimits { row: 1 << 20, value: usize::MAX, transaction: usize::MAX, attempts: 1 }
    }

    async fn attempt<P: Program>(&self, access: Access, program: &Arc<P>) -> Result<P::Output> {
        match access {
            Access::Read(_) => self.read(program).await,
            Access::Write => self.write(program).await,
        }
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Builder::new()
        .name(name.into())
        .spawn(f)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no thread can be started").with_source(e))
}

/// Runs a program to its end. Its futures wait for nothing, so polling once is enough.
fn run<P: Program>(program: &P, tx: &impl Transaction) -> Result<P::Output> {
    let polled = catch_unwind(AssertUnwindSafe(|| program.run(tx).now_or_never()));
    polled.map_err(panicked)?.unwrap_or_else(|| {
        Err(Error::new(ErrorKind::Other, "a program waits for something other than the engine"))
    })
}

fn read_all(jobs: &Receiver<Message<Box<dyn FnOnce() + Send>>>) {
    while let Ok(Message::Do(job)) = jobs.recv() {
        job();
    }
}

/// A program that shares a commit, and whoever waits for it.
trait Grouped: Send {
    fn run(&mut self, tx: &WriteTx<'_>);
    /// Answers, now that the commit has ended.
    fn finish(&mut self, committed: Result<(), &Error>);
}

struct Job<P: Program> {
    program: Arc<P>,
    output: Option<Result<P::Output>>,
    reply: Option<oneshot::Sender<Result<P::Output>>>,
}

impl<P: Program> Grouped for Job<P> {
    fn run(&mut self, tx: &WriteTx<'_>) {
        self.output = Some(run(&*self.program, tx));
    }
    fn finish(&mut self, committed: Result<(), &Error>) {
        // What a program answered rests on a state that a failed commit has made void.
        let result = match committed {
            Ok(()) => self.output.take().unwrap_or_else(|| Err(closed())),
            Err(e) => Err(e.without_source()),
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
struct Mend(Option<oneshot::Sender<()>>);

impl Grouped for Mend {
    fn run(&mut self, _: &WriteTx<'_>) {}
    fn finish(&mut self, _: Result<(), &Error>) {
        if let Some(reply) = self.0.take() {
            let _ = reply.send(()); // nobody waits any more
        }
    }
}

/// The writing thread.
struct Writer {
    place: Place,
    options: EmbeddedOptions,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(self, opened: oneshot::Sender<Result<()>>, jobs: &Receiver<Message<Box<dyn Grouped>>>) {
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
        let mut stop = false;
        while !stop && let Ok(first) = jobs.recv() {
            for message in std::iter::once(first).chain(jobs.try_iter()) {
                match message {
                    Message::Do(job) => group.push(job),
                    Message::Stop => stop = true,
                }
                if stop || group.len() == GROUP {
                    break;
                }
            }
            self.work(&mut database, &mut group);
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
            self.shared.publish(Err(e.without_source()));
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
