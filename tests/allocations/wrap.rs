//! The allocations of wrappers, and the memory of a cache. `memory.rs` is the same for the memory
//! backend. Keys are too long to be stored inline.

use crate::{VALUE, at_most, now};
use allocation_counter::measure;
use futures_util::FutureExt;
use keyvaluestore::backend::{Context, batch_sequentially};
use keyvaluestore::op::{Op, Read, Reply, Write};
use keyvaluestore::wrap::*;
use keyvaluestore::{Backend, Key, Memory, Outcome, Result, Store};
use std::time::Duration;

const NAME: &str = "string:0123456789012345678901";

/// A `get` of a shared key. An earlier one has made all allocations that are made once.
#[track_caller]
fn get_allocates<B: Backend>(most: u64, what: &str, store: &Store<B>) {
    let key = Key::from(NAME);
    now(store.set(&key, VALUE));
    now(store.get(&key));
    at_most(most, what, || now(store.get(&key)));
}

#[test]
fn a_hit_of_a_shared_cache() {
    let cache = Cache::shared(Memory::new(), CacheOptions::max_replies(1_000));
    get_allocates(0, "hit, shared key, concrete", &Store::with_backend(cache.clone()));
    at_most(1, "hit, text, concrete", || now(Store::with_backend(cache.clone()).get(NAME)));
    let erased = Store::new(cache);
    at_most(2, "hit, text, erased", || now(erased.get(NAME)));
}

#[test]
fn a_cache_of_a_request_is_made_and_dropped() {
    let shared = Cache::shared(Memory::new(), CacheOptions::max_replies(1_000));
    let dropped = || drop(Store::with_backend(Cache::request(shared.clone())));
    dropped();
    at_most(10, "a cache of a request, made and dropped", dropped);
    get_allocates(0, "hit in a request", &Store::with_backend(Cache::request(shared)));
}

#[test]
fn no_other_wrapper_allocates_for_a_get() {
    let memory = Memory::new;
    get_allocates(0, "on_write", &Store::with_backend(OnWrite::new(memory(), |_: &Key| ())));
    let retry = Retry::new(memory(), RetryPolicy::default());
    get_allocates(0, "retry", &Store::with_backend(retry));
    let timeout = Timeout::new(memory(), Duration::from_secs(1));
    get_allocates(0, "timeout", &Store::with_backend(timeout));
    get_allocates(0, "metrics", &Store::with_backend(Metrics::new(memory(), "memory")));
    get_allocates(0, "trace", &Store::with_backend(Trace::new(memory(), "memory")));
    // The prefixed key, if it is too long to be stored inline.
    let prefix = Store::with_backend(Prefix::new(memory(), "app"));
    get_allocates(1, "prefix", &prefix);
    now(prefix.get("short"));
    at_most(0, "prefix, short key", || now(prefix.get("short")));
}

/// Stores nothing: each string has 100 bytes, and each write succeeds.
#[derive(Clone, Debug)]
struct Nothing;

impl Backend for Nothing {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        match op {
            Read::Get(_) => Ok(Reply::Value(Some(VALUE.into()))),
            op => Memory::new().read(cx, op).await,
        }
    }
    async fn write(&self, _: &Context, _: &Write) -> Result<Reply> {
        Ok(Reply::Done)
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        batch_sequentially(self, cx, ops).await
    }
    async fn transact(&self, _: &Context, _: &[Write]) -> Result<Outcome> {
        Ok(Outcome::Committed)
    }
}

type Call = fn(&Store<Cache<Nothing>>, usize);

/// The bound is for the memory of a cache, with any reads.
#[test]
fn a_cache_bounded_in_bytes_takes_no_more_of_them() {
    const CALLS: [(&str, Call); 5] = [
        ("get", |store, i| drop(now(store.get(format!("key {i}"))))),
        ("hget, one key each", |store, i| drop(now(store.hget(format!("key {i}"), "field")))),
        ("hget", |store, i| {
            drop(now(store.hget(format!("key {}", i / 64), format!("field {i}"))));
        }),
        ("zscore, long", |store, i| {
            now(store.zscore(format!("key {}", i / 64), format!("{i:01000}")));
        }),
        ("zlexcount, long", |store, i| {
            let member = format!("{i:01000}");
            now(store.zlexcount(format!("key {}", i / 64), &member[..]..));
        }),
    ];
    for bound in [1 << 20, 8 << 20] {
        for (name, call) in CALLS {
            let cache = Cache::shared(Nothing, CacheOptions::max_bytes(bound));
            let store = Store::with_backend(cache.clone());
            let counted = measure(|| (0..50_000).for_each(|i| call(&store, i)));
            let (taken, held) = (counted.bytes_current as f64, cache.stats().size as f64);
            println!("{name}, {bound} bytes: {taken} bytes taken, {held} reported");
            assert!(cache.stats().evictions > 0 && held <= bound as f64, "{name}: {held}");
            assert!(taken < 1.15 * held && taken > 0.5 * held, "{name}: {taken} of {held}");
        }
    }
}

/// The notes about recent writes are bounded, too. A write does not scan them.
#[test]
fn what_is_noted_of_writes_is_bounded() {
    let store = Store::with_backend(Cache::shared(Nothing, CacheOptions::max_replies(100)));
    let counted = measure(|| (0..200_000).for_each(|i| now(store.set(format!("key {i}"), 1))));
    println!("{} bytes", counted.bytes_current);
    assert!(counted.bytes_current < 4 << 20, "{} bytes", counted.bytes_current);
}

#[test]
fn a_cancelled_call_that_waited_takes_no_memory() {
    /// Never replies.
    #[derive(Debug)]
    struct Never;
    impl Backend for Never {
        async fn read(&self, _: &Context, _: &Read) -> Result<Reply> {
            std::future::pending().await
        }
        async fn write(&self, _: &Context, _: &Write) -> Result<Reply> {
            std::future::pending().await
        }
        async fn batch(&self, _: &Context, _: &[Op]) -> Vec<Result<Reply>> {
            std::future::pending().await
        }
        async fn transact(&self, _: &Context, _: &[Write]) -> Result<Outcome> {
            std::future::pending().await
        }
    }
    let store = Store::with_backend(Cache::shared(Never, CacheOptions::max_replies(100)));
    let mut first = Box::pin(store.get("k"));
    assert!(first.as_mut().now_or_never().is_none());
    let counted = measure(|| {
        (0..10_000).for_each(|_| assert!(store.get("k").now_or_never().is_none()));
    });
    assert!(counted.bytes_current < 10_000, "{} bytes", counted.bytes_current);
}
