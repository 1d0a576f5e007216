//! The engine: one writing thread, some reading threads, and inline reads on the caller's thread.
//!
//! ```text
//!  write ──► queue ──► writing thread: all queued jobs in one redb transaction; one sync; replies
//!                           │ publishes
//!  long read ──► queue ──► reading threads ──► snapshot
//!  short read ─────────────────────────────────► snapshot, while the whole file is in memory
//! ```
//!
//! There is one writer, so programs never conflict. They share a transaction and its sync: group
//! commit. A program applies its changes last and all together, so a program that fails leaves no
//! changes in the shared transaction. A batch is not atomic: it runs part by part, and a commit may
//! come after any part (see `queue.rs`). The new snapshot is published before writers get their
//! replies, so every read sees all writes that were answered before it started.
//!
//! After an I/O error redb refuses all calls until the file is reopened. The writing thread tries
//! to reopen it before each group. A read that fails sends a [`ReopenJob`] and is retried once.

use super::EmbeddedOptions;
use super::commit_job::{CommitJob, ProgramJob, ReopenJob};
use super::errors::closed;
use super::file::{FileStats, Location, expect_no_io};
use super::queue::MAX_PART_ROWS;
use super::shared::{Message, Shared, run};
use super::writer::Writer;
use crate::backend::Context;
use crate::backend::ordered::{Access, AttemptError, Engine, EngineLimits, Program};
use crate::{Error, ErrorKind, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};
use tokio::sync::oneshot;

/// The maximum rows of a read on the caller's thread: about 100 µs of work.
const MAX_INLINE_READ_ROWS: usize = 128;

#[derive(Debug)]
pub(super) struct Redb {
    shared: Arc<Shared>,
    writes: Sender<Message<Box<dyn CommitJob>>>,
    reads: Sender<Message<Box<dyn FnOnce() + Send>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    readers: usize,
}

impl Redb {
    pub(super) async fn open(location: Location, options: EmbeddedOptions) -> Result<Self> {
        let stats = Arc::new(FileStats::default());
        let cache = if options.verify { options.cache as u64 } else { 0 };
        let shared = Arc::new(Shared { snapshot: RwLock::new(Err(closed())), stats, cache });
        let (writes, writes_in) = unbounded();
        let (reads, reads_in) = unbounded();
        let (opened, answer) = oneshot::channel();
        let writer = Writer { location, options, shared: shared.clone() };
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

    /// Stops the threads and closes the file. Blocks until that is done.
    pub(super) fn stop(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.is_empty() {
            return;
        }
        // Fails if the thread has already stopped.
        let _ = self.writes.send(Message::Stop);
        for _ in 0..self.readers {
            let _ = self.reads.send(Message::Stop);
        }
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }

    #[cfg(test)]
    pub(super) fn stats(&self) -> &FileStats {
        &self.shared.stats
    }
    /// The state after the last commit.
    #[cfg(test)]
    pub(super) fn snapshot(&self) -> Arc<super::tx::Snapshot> {
        self.shared.snapshot().expect("the file is open")
    }
    /// The length of the write queue.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.writes.len()
    }

    async fn read<P: Program>(&self, program: &Arc<P>) -> Result<P::Output> {
        match self.read_once(program).await {
            Err(e) if self.may_need_reopen(&e) && self.reopen().await => {
                self.read_once(program).await
            }
            result => result,
        }
    }

    async fn read_once<P: Program>(&self, program: &Arc<P>) -> Result<P::Output> {
        if program.max_rows() <= MAX_INLINE_READ_ROWS && self.shared.is_resident() {
            let snapshot = self.shared.snapshot()?;
            return expect_no_io(|| run(&**program, &*snapshot));
        }
        let (shared, program) = (self.shared.clone(), program.clone());
        let (reply, answer) = oneshot::channel();
        let job = move || {
            let result = shared.snapshot().and_then(|snapshot| run(&*program, &*snapshot));
            let _ = reply.send(result); // fails if the call was cancelled
        };
        self.reads.send(Message::Do(Box::new(job))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Whether a read may have failed because the file must be reopened.
    fn may_need_reopen(&self, e: &Error) -> bool {
        e.kind() == ErrorKind::Unavailable || self.shared.snapshot().is_err()
    }

    /// Makes the writing thread reopen the file if necessary. Returns whether it replied.
    async fn reopen(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(ReopenJob(Some(reply)));
        self.writes.send(Message::Do(job)).is_ok() && answer.await.is_ok()
    }

    async fn write<P: Program>(&self, program: &Arc<P>) -> Result<P::Output> {
        let (reply, answer) = oneshot::channel();
        let job = ProgramJob::new(program.clone(), reply);
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
    type Session = ();

    fn limits(&self) -> EngineLimits {
        EngineLimits {
            max_name: 1 << 20,
            max_value: usize::MAX,
            max_transaction: usize::MAX,
            max_part_rows: MAX_PART_ROWS,
            max_attempts: 1,
            checks_types: true,
        }
    }

    async fn attempt<P: Program>(
        &self,
        _: &Context,
        access: Access,
        program: &Arc<P>,
        (): &mut (),
    ) -> Result<P::Output, AttemptError> {
        Ok(match access {
            Access::Read(_) => self.read(program).await?,
            Access::Write => self.write(program).await?,
        })
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Builder::new()
        .name(name.into())
        .spawn(f)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no thread can be started").with_source(e))
}

fn read_all(jobs: &Receiver<Message<Box<dyn FnOnce() + Send>>>) {
    while let Ok(Message::Do(job)) = jobs.recv() {
        job();
    }
}
