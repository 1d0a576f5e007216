//! [`Embedded`]: everything in one file, durable when it answers, no server.
//!
//! ```text
//!  mod.rs       the public type: open, close          ../ordered  the data types, in rows
//!  engine.rs    who does what on which thread         tx.rs       rows in a redb table
//!  writer.rs    the thread that writes, for all       hidden.rs   rows deleted and not removed yet
//!  line.rs      who goes next, and when to commit     file.rs     the file below redb
//!  group.rs     what shares a commit                  making.rs   how it comes to be
//!  shared.rs    what the threads share                errors.rs   what redb's errors mean to a caller
//! ```

mod background_delete;
mod commit_job;
mod engine;
mod errors;
mod file;
mod open;
mod options;
mod queue;
mod shared;
mod tx;
mod writer;

pub use options::EmbeddedOptions;

use super::ordered::Ordered;
use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result};
use engine::Redb;
use std::path::Path;
use std::sync::Arc;

/// Keeps everything in one file, without a server.
///
/// A write is on the disk when it is answered. Reads never wait for writes. One process at a time
/// has the file open. Any async runtime will do: no work that may wait for the disk is done on its
/// threads.
///
/// # Open and close
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
/// let store = Store::open(format!("file:{}", path.display())).await?;
/// assert_eq!(store.get("k").await?.unwrap(), "v");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// Clones share the file. It is closed with the last of them, which waits for the disk on the spot,
/// or by [`close`](Self::close), which does not block a thread of the runtime. A process that ends
/// without either loses nothing that was answered.
///
/// # Configure
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("users.kvs");
/// use keyvaluestore::backend::EmbeddedOptions;
/// let file = EmbeddedOptions::default().cache(64 << 20).readers(4).open(&path).await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// # Test
///
/// [`Memory`](crate::Memory) is the fastest store for unit tests, and answers the same.
/// [`EmbeddedOptions::in_memory`] is this engine without a disk. A file in a temporary directory is
/// as good: an empty file, which is what the crate `tempfile` makes, opens as a new store.
///
/// # What calls cost
///
/// - A write is a commit and one sync of the disk. Writes that come while the disk is busy share
///   the next commit, so 64 writers get far more done than one.
/// - A batch shares commits, too; it promises no atomicity. Alone it is committed every 8,000 rows.
///   Others get between: a write waits for the commit under way, for 500 rows of the batch at most,
///   and for the next commit. An atomic write, and one call with very many members or fields, is
///   one commit, which the others wait for.
/// - While the file takes at most half of [`EmbeddedOptions::cache`], a read of up to 128 rows is
///   answered on the caller's thread. Other reads change threads.
/// - `get`, `hget`, `zscore`, `zhget` and every write of one item take time logarithmic in the size
///   of the file.
/// - `zrange` with a limit costs what it answers, wherever in the set the range begins: it seeks
///   there.
/// - `zcount` and `zlexcount` visit each member that they count: linear in the answer. So do
///   `smembers`, `hgetall` and a `zrange` without a limit.
/// - `delete` of up to 1,000 members or fields removes them. Of more it writes one row that has_hidden
///   them, however many they are; the writing thread removes them afterwards, 1,000 at a time,
///   between the commits of others, and goes on with that when the file is opened again. A `set` in
///   place of a large set or hash does the same.
/// - A use as another type is looked for. That is one seek more for `sadd`, `srem`, `hset` and
///   `hdel`, and for what finds nothing: a read, or `zadd`, `zrem` and `zincr_by` of a new member.
///
/// # Growth
///
/// What is removed leaves room in the file, which later writes fill; room at its end is given back.
/// A sorted member takes two rows, a field of a sorted hash three; values of sorted hashes below 1
/// KiB are kept twice.
///
/// # Backup
///
/// Close the store and copy the file. A copy of a file that is open and written to may be no state
/// that ever was, and may not open; a snapshot of the file system is one, and opens like a file
/// after a crash.
///
/// # Other types
///
/// A use of a key as another type is `WrongType` and changes nothing. `set` replaces a string,
/// counter, set or hash, and not a sorted set; `delete` removes anything, but in an atomic write no
/// sorted set.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Ordered<Redb>>);

impl Embedded {
    fn new(engine: Redb) -> Self {
        Embedded(Arc::new(Ordered::new(engine)))
    }
    /// Opens the store in the file at `path`, or makes a new one: where nothing is, in an empty
    /// file, and where a symbolic link leads to. A file that was not closed (a crash, a killed
    /// process) is put in order first: every write that was answered is there.
    ///
    /// # Errors
    /// `Corrupt` if the file is damaged, cut short or something else's: restore it from a backup,
    /// or move it away. `Unavailable` if it is open already, here or in another process.
    /// `InvalidArgument` if its directory is missing, or if the path names a directory or a device.
    /// `AccessDenied` if it may not be read and written.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        EmbeddedOptions::default().open(path).await
    }
    /// Closes the file once the writes that have been made are done. Every later operation, through
    /// any clone, fails with `Unavailable`. To close it again is nothing. Dropping the last clone
    /// does the same, and waits for it on the spot.
    ///
    /// A file that cannot be closed in order, because its disk has failed, is put in order when it
    /// is next opened: what was answered is there either way.
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
