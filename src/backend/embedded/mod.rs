//! [`Embedded`]: a store in one file, durable, without a server.
//!
//! ```text
//!  mod.rs         the public type: open, close     ../ordered      the data types over rows
//!  options.rs     the public options               errors.rs       redb's errors, mapped to ours
//!  engine.rs      threads, queues, inline reads    shared.rs       the published snapshot
//!  writer.rs      the writing thread               queue.rs        group commit, fairness
//!  commit_job.rs  a program and its caller         tx.rs           redb transactions over rows
//!  open.rs        atomic creation of a file        file.rs         the file below redb
//!  background_delete.rs   range tombstones
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

/// A store in one file, without a server. Durable: a write is on the disk before its call returns.
///
/// Reads never wait for writes. One process at a time can open the file. Any async runtime will do,
/// and no call waits for the disk on its threads. The file is a
/// [redb](https://docs.rs/redb) database.
///
/// # Open and close
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("users.kvs");
/// use keyvaluestore::{Embedded, Store};
/// let store = Store::new(Embedded::open(&path).await?);
/// store.set("k", "v").await?;
/// store.close().await?;
///
/// let store = Store::open(format!("file:{}", path.display())).await?;
/// assert_eq!(store.get("k").await?.unwrap(), "v");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// [`Embedded::open`] creates the file if it does not exist. Its directory must exist.
///
/// Clones share the file. [`close`](Self::close) closes it without blocking the runtime. Dropping
/// the last clone closes it as well, but blocks the thread until the disk is done. A process that
/// exits or crashes without closing loses no write that has returned.
///
/// # Configure
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("users.kvs");
/// use keyvaluestore::backend::EmbeddedOptions;
/// let file = EmbeddedOptions::new().cache(64 << 20).readers(4).open(&path).await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// In a URL: `file:users.kvs?cache=64MiB&readers=4&verify=false`. The path is relative
/// (`file:users.kvs`) or absolute (`file:/var/lib/app/users.kvs`).
///
/// # Test
///
/// - [`Memory`](crate::Memory) is the fastest store for unit tests, and passes the same contract.
/// - [`EmbeddedOptions::in_memory`] is this engine without a disk.
/// - A file in a temporary directory works as well. An empty file, such as the crate `tempfile`
///   creates, opens as a new store.
///
/// # Durability
///
/// A write returns after its commit is synced (`fsync`). Commits are atomic. So after a power cut,
/// a crash or a kill, the file holds every write that returned. A write that was in progress is
/// there in full or not at all. The next open repairs the file by itself.
///
/// Use a local disk. A network file system may ignore locks or `fsync`.
///
/// # Cost
///
/// | call | rows | disk |
/// |---|---|---|
/// | `get`, `hget`, `zscore` | reads 1 | |
/// | `zhget` | reads 1, and a chunk of a value over 1 KiB | |
/// | `smembers`, `hgetall`, `zrange`, `zcount` | reads each member that it returns or counts | |
/// | `set`, `incr_by`; a member of `sadd`; a field of `hset` | writes 1 | 1 sync |
/// | `zadd`, `zincr_by` of a member | writes 2 | 1 sync |
/// | `zhadd` | writes 3; a value over 1 KiB is stored once, a shorter one twice | 1 sync |
/// | a write that changes nothing | | no sync |
/// | an atomic write, a batch of up to some thousand rows | all of its writes | 1 sync |
///
/// - **Time.** Finding a row takes time logarithmic in the size of the file. `zrange` with a limit
///   seeks to its start, so it costs only the members that it returns.
/// - **Group commit.** Writes that arrive while the disk is busy share the next commit and its
///   sync. So 64 concurrent writers get far more writes per second than one. A commit that extends
///   the file syncs twice.
/// - **Threads.** While the file takes at most half of [`EmbeddedOptions::cache`], a read of up to
///   128 rows runs on the caller's thread, without I/O. All other reads run on a reading thread.
/// - **Batches** share commits, and are not atomic. A batch on its own is committed every 8,000
///   rows. Other writers wait for the current commit, for at most 500 rows of the batch, and for
///   the next commit.
/// - **Large writes.** An atomic write, or one call with very many members or fields, is one
///   commit, and other writers wait for it.
/// - **Large deletes.** `delete` of up to 1,000 members or fields deletes them at once. A larger
///   one writes a single row that hides all of them. The writing thread deletes them in the
///   background, 1,000 at a time, and continues after a restart. The same holds for a `set` that
///   replaces a large set or hash.
/// - **Type checks** take one more seek: for `sadd`, `srem`, `hset` and `hdel`, for a read that
///   finds nothing, and for `zadd`, `zrem` and `zincr_by` of a new member.
///
/// # File size
///
/// Later writes reuse the space of deleted rows. Free space at the end of the file is returned to
/// the file system.
///
/// # Backup
///
/// **Do not copy the file while it is open**: `cp`, `rsync` or a backup agent would mix pages of
/// different moments, and the copy may not open. Close the store, copy the file, and open it again.
/// A file system snapshot of one instant is safe as well: it opens like a file after a power cut.
/// There is no backup call yet.
///
/// # Errors
///
/// | kind | reason | what to do |
/// |---|---|---|
/// | `Unavailable`, on open | the file is already open | clone the store to share it |
/// | `Unavailable` | disk full, I/O error | free space, then retry: the store reopens the file by itself |
/// | `Unavailable`, not retryable | the store is closed | |
/// | `Corrupt` | damaged, cut short, or not a file of this library | restore a backup |
/// | `Unsupported` | written by a newer version of this library | upgrade |
/// | `AccessDenied` | no permission to read and write the file | |
/// | `InvalidArgument` | no such directory, or the path is not a regular file | |
/// | `TooLarge` | without limits: a value over 1 GiB, or a key and member over about 512 KiB | |
///
/// If the disk fails during a commit, the writes in it fail, and
/// [`outcome_is_unknown`](crate::Error::outcome_is_unknown) is true: the next open may find them or
/// not. A failed write is never applied in part.
///
/// # Several processes
///
/// The file is locked while it is open. A second process gets `Unavailable`. To share data between
/// processes, use Redis, DynamoDB or FoundationDB, or a process that owns the file.
///
/// # File format
///
/// The layout of the rows is versioned and documented in `docs/file-format.md`. Later releases of
/// the same major version open the file. A file of a newer format is refused as
/// `Unsupported`, never misread.
///
/// # Other types
///
/// Using a key as another type returns `WrongType` and changes nothing. `set` replaces a string,
/// counter, set or hash, but not a sorted set. `delete` deletes any type, except that in an atomic
/// write it does not delete a sorted set.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Ordered<Redb>>);

impl Embedded {
    fn new(engine: Redb) -> Self {
        Embedded(Arc::new(Ordered::new(engine)))
    }
    /// Opens the store in the file at `path`, or creates it if the file does not exist or is empty.
    /// Symbolic links are followed. A file that was not closed, because of a crash or a kill, is
    /// repaired first: it holds every write that returned.
    ///
    /// # Errors
    /// - `Corrupt` if the file is damaged, cut short, or not a file of this library. Restore it
    ///   from a backup, or move it away.
    /// - `Unavailable` if the file is already open, in this process or another.
    /// - `Unsupported` if a newer version of this library has written it.
    /// - `InvalidArgument` if its directory does not exist, or if the path names a directory or a
    ///   device.
    /// - `AccessDenied` without permission to read and write it.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        EmbeddedOptions::default().open(path).await
    }
    /// Closes the file after all pending writes are done. Every later operation fails with
    /// `Unavailable`, on all clones. Closing again does nothing. Dropping the last clone closes the
    /// file as well, but blocks the thread.
    ///
    /// If the disk has failed and the file cannot be closed cleanly, the next open repairs it. No
    /// write that returned is lost.
    ///
    /// # Errors
    /// `Unavailable` if no thread can be started.
    pub async fn close(&self) -> Result<()> {
        let this = self.clone();
        let (done, answer) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("kvs-close".into())
            .spawn(move || {
                this.0.engine().stop();
                // Dropped before the reply: this may be the last clone.
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
