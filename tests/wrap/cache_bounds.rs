//! The bounds of a cache, evictions, and statistics.

use super::caches;
use super::now;
use super::parking_backend::ParkingBackend;
use keyvaluestore::wrap::{Cache, CacheOptions};
use keyvaluestore::{Memory, Store};
use std::time::Duration;

fn both(options: CacheOptions) -> [Cache<Memory>; 2] {
    [Cache::shared(Memory::new(), options), Cache::request_with(Memory::new(), options)]
}

#[test]
fn of_a_key_with_too_many_replies_the_oldest_give_way() {
    for cache in both(CacheOptions::max_replies(100)) {
        let store = Store::with_backend(cache.clone());
        for i in 0..150 {
            now(store.hget("h", format!("field {i}"))).unwrap();
        }
        let stats = cache.stats();
        assert_eq!((stats.size, stats.evictions), (100, 50));
        for i in 50..150 {
            now(store.hget("h", format!("field {i}"))).unwrap();
        }
        assert_eq!(cache.stats().hits, 100);
    }
    for cache in both(CacheOptions::max_bytes(1 << 20)) {
        let store = Store::with_backend(cache.clone());
        for i in 0..100 {
            now(store.hset("h", [(format!("field {i}"), vec![1; 20_000])])).unwrap();
        }
        (0..100).for_each(|i| drop(now(store.hget("h", format!("field {i}"))).unwrap()));
        (60..100).for_each(|i| drop(now(store.hget("h", format!("field {i}"))).unwrap()));
        let stats = cache.stats();
        assert_eq!(stats.hits, 40, "{stats:?}");
        assert!(stats.size <= 1 << 20 && stats.evictions > 40, "{stats:?}");
    }
}

/// Also if the key has other replies.
#[test]
fn the_reply_that_came_last_is_kept() {
    for cache in both(CacheOptions::max_replies(1).settle_time(Duration::ZERO)) {
        let store = Store::with_backend(cache.clone());
        now(store.eventually_consistent().get("k")).unwrap();
        (0..2).for_each(|_| drop(now(store.get("k")).unwrap()));
        assert_eq!((cache.stats().hits, cache.stats().evictions), (1, 1));
        // A strong reply answers an eventual read.
        now(store.eventually_consistent().get("k")).unwrap();
        assert_eq!(cache.stats().hits, 2);
    }
}

#[test]
fn the_longest_value_is_kept_where_the_bound_is_a_mebibyte() {
    for mebibytes in [1, 2, 8, 64] {
        for cache in both(CacheOptions::max_bytes(mebibytes << 20)) {
            let store = Store::with_backend(cache.clone());
            now(store.set("k", vec![0; 390 * 1_024])).unwrap();
            (0..2).for_each(|_| drop(now(store.get("k")).unwrap()));
            assert_eq!(cache.stats().hits, 1, "{mebibytes} MiB");
        }
    }
}

#[test]
fn no_bound_is_exceeded_however_small() {
    for n in 0..7 {
        for cache in both(CacheOptions::max_replies(n)) {
            let store = Store::with_backend(cache.clone());
            for i in 0..50 {
                now(store.get(format!("key {}", i % 11))).unwrap();
                assert!(cache.stats().size <= n, "{:?}", cache.stats());
            }
        }
    }
}

#[test]
fn every_reply_that_gave_way_is_counted() {
    // The number of replies of one key is bounded, too.
    for cache in both(CacheOptions::max_replies(100_000)) {
        let store = Store::with_backend(cache.clone());
        for i in 0..1_000 {
            now(store.hget("h", format!("field {i}"))).unwrap();
        }
        let stats = cache.stats();
        assert_eq!(stats.misses, stats.size + stats.evictions, "{stats:?}");
    }
}

#[test]
fn a_read_behind_a_write_of_its_batch_is_a_miss() {
    for (_, cache, store) in caches() {
        let mut batch = store.batch();
        batch.set("k", 1);
        batch.get("k");
        batch.get("other");
        drop(now(batch.exec()).unwrap());
        assert_eq!((cache.stats().hits, cache.stats().misses), (0, 2));
    }
}

#[test]
fn what_has_outlived_its_time_is_not_known() {
    for (time, known) in [(Duration::ZERO, false), (Duration::from_secs(3_600), true)] {
        let options = CacheOptions::max_replies(10).time_to_live(time);
        for cache in both(options) {
            now(Store::with_backend(cache.clone()).get("k")).unwrap();
            assert_eq!(cache.contains("k"), known);
        }
    }
}

#[test]
fn any_time_is_taken() {
    let always = CacheOptions::max_replies(10);
    let ever = Duration::MAX;
    for options in [
        always.time_to_live(ever),
        always.settle_time(ever),
        always.settle_time(Duration::ZERO).eventual_grace(ever),
    ] {
        let backend = ParkingBackend::default();
        let store = Store::with_backend(Cache::shared(backend.clone(), options));
        now(store.set("k", 1)).unwrap();
        (0..2).for_each(|_| drop(now(store.get("k")).unwrap()));
        now(store.eventually_consistent().get("k")).unwrap();
        assert_eq!(backend.calls(), ["set", "get"]);
        now(store.set("k", 2)).unwrap();
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "2");
    }
}
