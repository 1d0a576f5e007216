//! Runs the tests of the protocol in `tests/wrap/` on a cache whose table is a [`PlainMap`]. The
//! protocol must hold with any table.

use super::core::Core;
use super::table::plain_map::PlainMap;
use super::{CacheOptions, CacheStats, batch};
use crate::backend::Context;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result, Store};
use futures_util::FutureExt;
use parking_backend::ParkingBackend;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[path = "../../../tests/wrap/cache_batches.rs"]
mod cache_batches;
#[path = "../../../tests/wrap/cache_races.rs"]
mod cache_races;
#[path = "../../../tests/wrap/cache_single_flight.rs"]
mod cache_single_flight;
#[path = "../../../tests/wrap/parking_backend.rs"]
mod parking_backend;

/// As [`super::Cache`]. Both constructors make the same cache.
#[derive(Clone)]
struct Cache<B> {
    inner: B,
    core: Arc<Core<PlainMap>>,
}

impl<B> Cache<B> {
    fn shared(inner: B, options: CacheOptions) -> Self {
        Cache { inner, core: Arc::new(Core::new(options, PlainMap::default(), 2, 1)) }
    }
    fn request_with(inner: B, options: CacheOptions) -> Self {
        Cache::shared(inner, options)
    }
    fn contains(&self, key: impl Into<Key>) -> bool {
        self.core.table.contains(&key.into())
    }
    fn invalidate(&self, key: impl Into<Key>) {
        self.core.invalidate(&key.into());
    }
    fn invalidate_all(&self) {
        self.core.invalidate_all();
    }
    fn stats(&self) -> CacheStats {
        let (hits, misses) = self.core.counts();
        CacheStats { hits, misses, evictions: 0, size: self.core.table.len() as u64 }
    }
}

impl<B> fmt::Debug for Cache<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache on a plain map")
    }
}

impl<B: Backend> Backend for Cache<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        match self.core.get(cx, op) {
            Some(reply) => Ok(reply),
            None => self.core.miss(&self.inner, cx, op).await,
        }
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

fn caches() -> [(ParkingBackend, Cache<ParkingBackend>, Store<Cache<ParkingBackend>>); 1] {
    let backend = ParkingBackend::default();
    let options = CacheOptions::max_replies(1_000).settle_time(Duration::ZERO);
    let cache = Cache::shared(backend.clone(), options);
    [(backend, cache.clone(), Store::with_backend(cache))]
}
/// The result of a call that must not wait.
#[track_caller]
fn now<T>(future: impl IntoFuture<Output = T>) -> T {
    future.into_future().now_or_never().expect("it does not wait")
}
/// Polls a future that must wait.
#[track_caller]
fn waits<F: Future + Unpin>(future: &mut F) {
    assert!(future.now_or_never().is_none(), "it should wait");
}
