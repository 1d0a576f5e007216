//! [`Cache`]: caches the reply to each read until its key is written.
//!
//! ```text
//!  mod.rs       Cache and its options
//!  core.rs      single flight; what is stored and what is invalidated
//!  batch.rs     cached reads of a batch are answered, the rest is one batch
//!  gate.rs      the protocol: which replies may be cached
//!  table/       where replies are stored, behind the trait Table; bounds and eviction
//!  counters.rs  hits and misses
//! ```

mod batch;
mod core;
mod counters;
mod gate;
#[cfg(test)]
mod protocol_tests;
mod table;

/// The locks of `gate.rs`, which `tests/cache_loom.rs` replaces.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

use self::core::Core;
use self::table::{AnyTable, Unit};
use super::Wrapper;
use crate::backend::Context;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The bound and the times of a [`Cache`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct CacheOptions {
    unit: Unit,
    bound: u64,
    time_to_live: Option<Duration>,
    eventual_grace: Duration,
    settle_time: Duration,
}

/// The longest time of an option: 30 years, which `Instant` can add.
const MAX_TIME: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

const fn at_most_max(time: Duration) -> Duration {
    if time.as_nanos() > MAX_TIME.as_nanos() { MAX_TIME } else { time }
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
    /// Holds at most `n` replies of any size. Values of strings up to 1 KiB that several threads
    /// read often may be stored up to 8 more times.
    pub const fn max_replies(n: u64) -> Self {
        CacheOptions::new(Unit::Replies, n)
    }
    /// Holds at most about `n` bytes. Keys, arguments of reads and overhead count. The overhead is
    /// about 510 bytes for the first reply of a key, and 190 for each other one.
    ///
    /// A sixteenth of the bound is for copies of strings, up to 1 KiB long, for threads that read
    /// them often. Threads that find no room there contend for the reference count of the string.
    ///
    /// A shared cache is divided into up to 64 shards of at least 1 MiB, and does not store a reply
    /// that does not fit into a shard. So a cache of 1 MiB or more stores a value of the greatest
    /// portable length. Records of recent writes, up to 2 MiB, are not part of the bound.
    pub const fn max_bytes(n: u64) -> Self {
        CacheOptions::new(Unit::Bytes, n)
    }
    /// Expires each reply after `time`, so that writes of other processes, which bypass this cache,
    /// are seen by then. By default a reply is stored until its key is written or it is evicted.
    pub const fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(at_most_max(time));
        self
    }
    /// Lets [eventual](crate::Store::eventually_consistent) reads get an invalidated reply for
    /// `time` after the write. 0 by default.
    pub const fn eventual_grace(mut self, time: Duration) -> Self {
        self.eventual_grace = at_most_max(time);
        self
    }
    /// How long a replica may lag behind a write, and an in-doubt write may still be applied. For
    /// that long after a write, replies that may be outdated are not cached. 5 seconds by default.
    /// 0 is enough on `Memory`. On any other backend a write whose future was dropped may be
    /// applied later.
    pub const fn settle_time(mut self, time: Duration) -> Self {
        self.settle_time = at_most_max(time);
        self
    }
}

/// Statistics of a [`Cache`], from [`Cache::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads that were answered from the cache.
    pub hits: u64,
    /// Reads that were not.
    pub misses: u64,
    /// Replies that were evicted, or did not fit.
    pub evictions: u64,
    /// The current size, in replies or in bytes, in which the cache is bounded. It includes the
    /// copies of strings for threads.
    pub size: u64,
}

/// Caches the reply to each read until its key is written.
///
/// A *shared* cache ([`Cache::shared`]) serves the whole process. It is bounded, and has a time to
/// live if other processes write, too. A *request-scoped* cache ([`Cache::request`]) is created for
/// a request and dropped with it, which costs at most ten allocations. Within the request a
/// reply is read once, unless its key is written or more than 10,000 replies are stored. Nothing
/// waits for other requests.
///
/// # What is cached, and what invalidates it
///
/// - `get`, `smembers`, `hgetall`, `zscore`, `zhget`, `zcount`, `zlexcount`, and any read that is
///   not named below: the reply answers the same read with equal arguments.
/// - `hget`: the same, and a cached `hgetall` of the key answers it, too.
/// - `zrange`, `zhrange`: a cached range answers the same range with a smaller limit, and with any
///   limit if the reply was shorter than its own limit. The two do not answer each other.
/// - An eventual read is also answered from the reply to a strong one, never the other way round.
/// - Any write to a key invalidates all replies of that key: also a conditional write that is not
///   applied, one that fails, and one whose future is dropped.
/// - A batch is answered from the cache as far as possible; the rest is sent as one batch. A read
///   after a write to the same key in the batch is sent, too.
/// - An atomic write invalidates each of its keys.
/// - [`invalidate`](Self::invalidate) and [`invalidate_all`](Self::invalidate_all) are for writes
///   that bypass the cache. [`time_to_live`](CacheOptions::time_to_live) limits how long those stay
///   unseen.
///
/// # What it guarantees
///
/// - A strong read is never older than the last write that ended through the same cache or a clone
///   of it, also if the read was in flight while the write ran.
/// - Errors are never cached.
/// - Concurrent misses of the same read share one read of the backend (single flight). If that
///   fails or is cancelled, the others do not fail. The caller that leads the read must poll or
///   drop its future: one that `select!` left behind makes the others wait.
///
/// # Cost
///
/// A hit sends nothing. A hit of a `get` allocates nothing, takes about 200 instructions more than
/// a `get` from memory, and does not contend with other hits. Feature `cache`. Hits and misses are
/// counted in [`stats`](Self::stats); a hit causes no event of an observer below the cache.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::{Cache, CacheOptions};
/// use keyvaluestore::{Memory, Store};
///
/// let cache = Cache::shared(Memory::new(), CacheOptions::max_replies(100_000));
/// let store = Store::new(cache.clone());
/// store.set("k", "v").await?;
/// store.get("k").await?; // reads from the backend
/// store.get("k").await?; // a hit
/// assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
///
/// // For one request, on top of the shared one.
/// let request = Store::new(Cache::request(cache));
/// assert_eq!(request.get("k").await?.unwrap(), "v");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cache<B> {
    inner: B,
    core: Arc<Core<AnyTable>>,
}

impl<B> Cache<B> {
    /// A cache for all callers.
    pub fn shared(inner: B, options: CacheOptions) -> Self {
        let table = AnyTable::shared(options.unit, options.bound);
        Cache { inner, core: Arc::new(Core::new(options, table, 64, 16)) }
    }
    /// A cache for one request, of at most 10,000 replies.
    pub fn request(inner: B) -> Self {
        Cache::request_with(inner, CacheOptions::max_replies(10_000))
    }
    /// A cache for one request.
    pub fn request_with(inner: B, options: CacheOptions) -> Self {
        let table = AnyTable::request(options.unit, options.bound);
        Cache { inner, core: Arc::new(Core::new(options, table, 1, 1)) }
    }
    /// Whether the cache has a valid reply to any read of `key`.
    pub fn contains(&self, key: impl Into<Key>) -> bool {
        self.core.table.contains(&key.into())
    }
    /// Invalidates `key`, as a write through this cache does. For writes that bypassed it.
    pub fn invalidate(&self, key: impl Into<Key>) {
        self.core.invalidate(&key.into());
    }
    /// Invalidates all keys.
    pub fn invalidate_all(&self) {
        self.core.invalidate_all();
    }
    /// The statistics since the cache was created.
    pub fn stats(&self) -> CacheStats {
        let (hits, misses) = self.core.counts();
        let usage = self.core.table.usage();
        CacheStats { hits, misses, evictions: usage.evictions, size: usage.size }
    }
}

impl<B: fmt::Debug> fmt::Debug for Cache<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
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
        if let Some(reply) = self.core.get(cx, op) {
            return Ok(reply);
        }
        // Boxed: otherwise the future of each hit would have the size of a miss.
        Box::pin(self.core.miss(&self.inner, cx, op)).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.core.write(&self.inner, cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        batch::run(&self.core, &self.inner, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.core.transact(&self.inner, cx, writes).await
    }
}
