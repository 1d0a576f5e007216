//! What wrappers allocate, as `tests/allocations.rs` has it for the memory backend. Keys are longer than what fits inline.

#![cfg(all(feature = "cache", feature = "retry", feature = "metrics", feature = "tracing"))]
#![allow(missing_docs, reason = "this is test code")]

use allocation_counter::measure;
use futures_util::FutureExt;
use keyvaluestore::wrap::*;
use keyvaluestore::{Backend, Key, Memory, Store};
use std::time::Duration;

const VALUE: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
const NAME: &str = "string:0123456789012345678901";

fn now<T>(future: impl Future<Output = keyvaluestore::Result<T>>) -> T {
    future.now_or_never().expect("memory does not wait").expect("it works")
}

#[track_caller]
fn at_most<T>(most: u64, what: &str, call: impl FnOnce() -> T) {
    let mut result = None;
    let counted = measure(|| result = Some(call()));
    drop(result);
    println!("{what}: {} allocations", counted.count_total);
    assert!(counted.count_total <= most, "{what}: {} allocations, not {most}", counted.count_total);
}

/// A get of a shared key, after another one: whatever is made once has been made.
#[track_caller]
fn get_allocates<B: Backend>(most: u64, what: &str, store: &Store<B>) {
    let key = Key::from(NAME);
    now(store.set(&key, VALUE));
    now(store.get(&key));
    at_most(most, what, || now(store.get(&key)));
}

#[test]
fn a_hit_of_a_shared_cache() {
    let cache = Cache::shared(Memory::new(), CacheOptions::entries(1_000));
    get_allocates(0, "hit, shared key, concrete", &Store::with_backend(cache.clone()));
    at_most(1, "hit, text, concrete", || now(Store::with_backend(cache.clone()).get(NAME)));
    let erased = Store::new(cache);
    at_most(2, "hit, text, erased", || now(erased.get(NAME)));
}

#[test]
fn a_cache_of_a_request_is_made_and_dropped() {
    let shared = Cache::shared(Memory::new(), CacheOptions::entries(1_000));
    let dropped = || drop(Store::with_backend(Cache::request(shared.clone())));
    dropped();
    at_most(10, "a cache of a request, made and dropped", dropped);
    get_allocates(0, "hit in a request", &Store::with_backend(Cache::request(shared)));
}

#[test]
fn no_other_wrapper_allocates_for_a_get() {
    let memory = Memory::new;
    get_allocates(0, "invalidate", &Store::with_backend(Invalidate::new(memory(), |_: &Key| ())));
    let retry = Retry::new(memory(), RetryPolicy::default());
    get_allocates(0, "retry", &Store::with_backend(retry));
    let timeout = Timeout::new(memory(), Duration::from_secs(1));
    get_allocates(0, "timeout", &Store::with_backend(timeout));
    get_allocates(0, "metrics", &Store::with_backend(Metrics::new(memory(), "memory")));
    get_allocates(0, "trace", &Store::with_backend(Trace::new(memory(), "memory")));
    // The key that is put together, where it does not fit inline.
    let prefix = Store::with_backend(Prefix::new(memory(), "app"));
    get_allocates(1, "prefix", &prefix);
    now(prefix.get("short"));
    at_most(0, "prefix, short key", || now(prefix.get("short")));
}
