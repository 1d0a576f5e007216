//! [`Embedded`]: everything in one file, durable when it answers, no server.
//!
//! ```text
//!  mod.rs       the public type: open, close          ../ordered  the data types, in rows
//!  engine.rs    who does what on which thread         tx.rs       rows in a redb table
//!  writer.rs    the thread that writes, for all       file.rs     the file below redb
//!  shared.rs    what the threads share                errors.rs   what redb's errors mean to a caller
//! ```

mod engine;
mod errors;
mod file;
mod group;
mod hidden;
mod line;
mod shared;
mod tx;
mod writer;

use super::ordered::Ordered;
use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result};
use engine::Redb;
use std::path::Path;
use std::sync::Arc;

/// How an [`Embedded`] store is opened. `Default` is right for most.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EmbeddedOptions {
    /// The most bytes of the file that are kept in memory. 256 MiB by default.
    ///
    /// While the file is at most half as large, short reads are answered from memory on the caller's thread,
    /// without a switch to another.
    pub cache: usize,
    /// How many threads do the other reads. 2 by default.
    pub readers: usize,
    /// Whether opening verifies every checksum of the file. On by default; it takes about 0.4 s per million
    /// rows. Without it, damage that was done to the file while it was closed may show as wrong answers.
    pub verify: bool,
    removal: tx::Removal,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions {
            cache: 256 << 20,
            readers: 2,
            verify: true,
            removal: tx::Removal::default(),
        }
    }
}

impl EmbeddedOptions {
    /// Sets [`cache`](Self::cache).
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }
    /// Sets [`readers`](Self::readers).
    #[must_use]
    pub fn readers(mut self, threads: usize) -> Self {
        self.readers = threads;
        self
    }
    /// Sets [`verify`](Self::verify).
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
    /// Opens the store in the file at `path`, or makes a new one.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Embedded> {
        let place = file::Place::File(path.as_ref().to_owned());
        Redb::open(place, self).await.map(Embedded::new)
    }
    /// A store of the same engine in memory, which no disk slows down and nothing outlives. For tests of the
    /// engine; for your own tests [`Memory`](crate::Memory) is faster.
    ///
    /// # Errors
    /// `Unavailable` if a thread cannot be started.
    pub async fn in_memory(self) -> Result<Embedded> {
        Redb::open(file::Place::Memory, self).await.map(Embedded::new)
    }
}

/// Keeps everything in one file. For whoever wants no server.
///
/// A write is on the disk when it is answered. Writers share commits: what arrives while the disk is busy goes
/// to it together, so 64 writers get far more done than one. Reads never wait for writes. The file is of one
/// process at a time. No work that may wait for the disk is done on the threads of the async runtime; any
/// runtime will do.
///
/// Clones share the file. It is closed with the last of them, or by [`close`](Self::close).
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("users.kvs");
/// use keyvaluestore::{Embedded, Store};
/// let file = Embedded::open(&path).await?;
/// let store = Store::new(file.clone());
/// store.set("k", "v").await?;
/// file.close().await?;
///
/// let store = Store::new(Embedded::open(&path).await?);
/// assert_eq!(store.get("k").await?.unwrap(), "v");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// A key that holds another type than an operation works on is answered as though it were absent; only
/// `incr_by` tells `WrongType`.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Ordered<Redb>>);

impl Embedded {
    fn new(engine: Redb) -> Self {
        Embedded(Arc::new(Ordered::new(engine)))
    }
    /// Opens the store in the file at `path`, or makes a new one. A file that was not closed (a crash, a
    /// killed process) is put in order first: every write that was answered is there.
    ///
    /// # Errors
    /// `Corrupt` if the file is damaged, cut short or something else's; `Unavailable` if another process has
    /// it open; `InvalidArgument` if its directory is missing, or is what the path names; `AccessDenied`.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        EmbeddedOptions::default().open(path).await
    }
    /// Closes the file once the writes under way are done. Every later operation, through any clone, fails
    /// with `Unavailable`. Dropping the last clone does the same, and waits for it on the spot.
    ///
    /// A file that cannot be closed in order, because its disk has failed, is put in order when it is next opened:
    /// what was answered is there either way.
    ///
    /// # Errors
    /// `Unavailable` if no thread can be started to wait on.
    pub async fn close(&self) -> Result<()> {
        let this = self.clone();
        let (done, answer) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("kvs-close".into())
            .spawn(move || {
                this.0.engine().stop();
                // Dropped first: whoever hears of the end may be the last one to hold the store.
                drop(this);
                let _ = done.send(());
            })
            .map_err(|e| {
                Error::new(ErrorKind::Unavailable, "no thread can be started").with_source(e)
            })?;
        answer.await.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "closing the file failed").with_source(e)
        })
    }
}

impl Backend for Embedded {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        self.0.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}

#[cfg(test)]
mod tests;
