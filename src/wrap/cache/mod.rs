//! [`Cache`]: remembers the reply to each read until a write touches its key.
//!
//! ```text
//!  mod.rs      Cache and its options; the four functions
//!  core.rs     one read for all that miss the same; what is kept, and when it is forgotten
//!  batch.rs    what is known of a batch is answered, the rest is one batch
//!  gate.rs     the protocol: which replies may be kept at all
//!  entry.rs    the replies of one key, and which questions they answer
//!  copies.rs   a value once more for each thread that asks for it often
//!  table.rs    where entries are: shared by all, or of one request
//!  shared.rs   the table that all share: shards whose readers do not meet, and what gives way
//!  counts.rs   hits and misses
//! ```

mod batch;
mod copies;
mod core;
mod counts;
mod entry;
mod gate;
mod shared;
mod table;

/// The locks of `gate.rs`, which `tests/model.rs` replaces.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

use self::core::Core;
use self::entry::Unit;
use self::table::Table;
use super::Wrapper;
use crate::backend::Context;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How much a [`Cache`] holds, and for how long.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct CacheOptions {
    unit: Unit,
    bound: u64,
    time_to_live: Option<Duration>,
    eventual_grace: Duration,
    settle_time: Duration,
}

/// As good as for ever, and still a time at which a clock arrives.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

const fn at_most(time: Duration, longest: Duration) -> Duration {
    if time.as_nanos() > longest.as_nanos() { longest } else { time }
}

impl CacheOptions {
    const fn new(unit: Unit, bound: u64) -> Self {
        CacheOptions {
            unit,
            bound,
            time_to_live: None,
            eventual_grace: Duration::ZERO,
            settle_time: Duration::from_secs(5),
        }
    }
    /// Holds at most `n` replies, whatever they weigh. The string of a key, up to 1 KiB, is there
    /// once more for each thread that asks for it often, up to 8 times, so that threads do not
    /// write one count together.
    pub const fn max_replies(n: u64) -> Self {
        CacheOptions::new(Unit::Replies, n)
    }
    /// Holds at most about `n` bytes, keys, questions and what the cache needs itself included:
    /// that is about 510 for the first reply of a key, and 190 for each other one. A sixteenth of
    /// them is for copies of strings, up to 1 KiB long, for threads that ask for them often;
    /// threads that find no room there write the count of the string together. A shared cache is
    /// divided into parts of 1 MiB or more, up to 64 of them, and keeps nothing that does not fit
    /// into one: so a value of the greatest portable length is kept by caches of 1 MiB and more.
    /// Beside the bound, up to 2 MiB tell which keys were written lately.
    pub const fn max_bytes(n: u64) -> Self {
        CacheOptions::new(Unit::Bytes, n)
    }
    /// Forgets every reply after `time`, so that writes of others, which do not pass this cache,
    /// are seen by then. Without it a reply is kept until it is written or has to give way.
    pub const fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(at_most(time, LONGEST));
        self
    }
    /// Lets [eventual](crate::Store::eventually_consistent) reads see what a write has invalidated
    /// for `time` longer. 0 without it.
    pub const fn eventual_grace(mut self, time: Duration) -> Self {
        self.eventual_grace = at_most(time, LONGEST);
        self
    }
    /// For how long after a write a replica may still answer the older value, and a write whose
    /// outcome is not known may still be applied: that long, nothing that may be outdated by it is
    /// kept. 5 seconds without it. Where there are no replicas and writes are carried out in their
    /// order, 0 will do.
    pub const fn settle_time(mut self, time: Duration) -> Self {
        self.settle_time = at_most(time, LONGEST);
        self
    }
}

/// What a [`Cache`] has done, from [`Cache::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads that were answered from it.
    pub hits: u64,
    /// Reads that were not.
    pub misses: u64,
    /// Replies that had to give way to others, or found no room.
    pub evictions: u64,
    /// What it holds, in replies or in bytes, copies included, as it is bounded.
    pub size: u64,
}

/// Remembers the reply to each read until a write touches its key.
///
/// *Shared* ([`Cache::shared`]): one for the process, bounded, with a time to live if other
/// processes write, too. *Request-scoped* ([`Cache::request`]): made for a request and dropped with
/// it, so cheap that it does not matter; within the request nothing is read twice, and nothing that
/// another request does is waited for.
///
/// # What it promises
///
/// - A strong read is never older than the last write that ended through the same cache (clones are
///   the same cache), also if the read was in flight while the write ran. That holds for writes
///   that fail, and for futures that are dropped.
/// - Errors are never kept. Many who miss the same wait for one read; if that fails or is given up,
///   they do not.
/// - What a replica has answered is never handed to a strong read.
/// - A kept range answers a smaller limit, a kept `hgetall` every `hget`; sorted sets and sorted
///   hashes share nothing.
/// - In a batch, what is known is answered, and the rest is one batch. Behind a write of the same
///   batch to the same key nothing is answered from the cache.
/// - What it hands out belongs to the caller.
///
/// Whoever began the one read has to go on with it: a future that is neither polled nor dropped,
/// such as one that `select!` left behind, keeps the others waiting.
///
/// It knows nothing of writes that do not pass it. [`invalidate`](Self::invalidate) tells it of
/// them, and [`time_to_live`](CacheOptions::time_to_live) limits how long it does not know.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::{Cache, CacheOptions};
/// use keyvaluestore::{Memory, Store};
///
/// let cache = Cache::shared(Memory::new(), CacheOptions::max_replies(100_000));
/// let store = Store::new(cache.clone());
/// store.set("k", "v").await?;
/// store.get("k").await?; // asks the backend
/// store.get("k").await?; // does not
/// assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
///
/// // For one request, over what all requests share.
/// let request = Store::new(Cache::request(cache));
/// assert_eq!(request.get("k").await?.unwrap(), "v");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cache<B> {
    inner: B,
    core: Arc<Core>,
}

impl<B> Cache<B> {
    /// A cache that all callers share.
    pub fn shared(inner: B, options: CacheOptions) -> Self {
        let table = Table::shared(options.unit, options.bound);
        Cache { inner, core: Arc::new(Core::new(options, table, 64, 16)) }
    }
    /// A cache for one request, of at most 10,000 replies.
    pub fn request(inner: B) -> Self {
        Cache::request_with(inner, CacheOptions::max_replies(10_000))
    }
    /// A cache for one request.
    pub fn request_with(inner: B, options: CacheOptions) -> Self {
        let table = Table::request(options.unit, options.bound);
        Cache { inner, core: Arc::new(Core::new(options, table, 1, 1)) }
    }
    /// Whether it knows anything of `key` that it would still answer.
    pub fn contains(&self, key: impl Into<Key>) -> bool {
        self.core.contains(&key.into())
    }
    /// Forgets what it knows of `key`, as though that had been written: for writes that did not
    /// pass it.
    pub fn invalidate(&self, key: impl Into<Key>) {
        self.core.invalidate(&key.into());
    }
    /// Forgets everything.
    pub fn invalidate_all(&self) {
        self.core.invalidate_all();
    }
    /// What it has done until now.
    pub fn stats(&self) -> CacheStats {
        self.core.counted()
    }
}

impl<B: fmt::Debug> fmt::Debug for Cache<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Cache");
        told.field("inner", &self.inner).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<B: Backend> Wrapper for Cache<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Cache<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        if let Some(reply) = self.core.look(cx, op) {
            self.core.counts.hit();
            return Ok(reply);
        }
        self.core.counts.miss();
        // In a box, as every hit would carry the room for it in its future.
        Box::pin(self.core.miss(&self.inner, cx, op)).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let mut writing = self.core.write(op.key());
        let result = self.inner.write(cx, op).await;
        if result.as_ref().err().is_none_or(|e| !e.outcome_is_unknown()) {
            writing.mark_certain();
        }
        result
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        batch::run(&self.core, &self.inner, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let mut writing: Vec<_> = writes.iter().map(|op| self.core.write(op.key())).collect();
        let outcome = self.inner.transact(cx, writes).await;
        if outcome.as_ref().err().is_none_or(|e| !e.outcome_is_unknown()) {
            writing.iter_mut().for_each(gate::Writing::mark_certain);
        }
        outcome
    }
}
