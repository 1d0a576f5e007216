//! Hits and misses: what a cached reply answers, and what it must not answer.

use super::now;
use super::parking_backend::ParkingBackend;
use keyvaluestore::wrap::{Cache, CacheOptions};
use keyvaluestore::{ErrorKind, Outcome, Store, Value};
use std::time::Duration;

/// A store on a shared and on a request-scoped cache. The settle time is 0.
pub(crate) fn caches() -> [(ParkingBackend, Cache<ParkingBackend>, Store<Cache<ParkingBackend>>); 2]
{
    let options = CacheOptions::max_replies(1_000).settle_time(Duration::ZERO);
    [false, true].map(|request| {
        let backend = ParkingBackend::default();
        let cache = match request {
            false => Cache::shared(backend.clone(), options),
            true => Cache::request_with(backend.clone(), options),
        };
        (backend, cache.clone(), Store::with_backend(cache))
    })
}

#[test]
fn what_was_read_is_not_asked_for_again() {
    for (backend, cache, store) in caches() {
        now(store.set("k", "v")).unwrap();
        for _ in 0..3 {
            assert_eq!(now(store.get("k")).unwrap().unwrap(), "v");
            assert_eq!(now(store.get("missing")).unwrap(), None);
        }
        assert_eq!(backend.calls(), ["set", "get", "get"]);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.size), (4, 2, 2));
        assert!(cache.contains("k") && !cache.contains("other"));
    }
}

#[test]
fn every_kind_of_read_is_kept() {
    for (backend, _, store) in caches() {
        now(store.sadd("s", ["a"])).unwrap();
        now(store.hset("h", [("f", "v")])).unwrap();
        now(store.zhadd("z", "m", "v", 1.0)).unwrap();
        backend.calls();
        for round in 0..2 {
            assert_eq!(now(store.smembers("s")).unwrap(), ["a"]);
            assert_eq!(now(store.hget("h", "f")).unwrap().unwrap(), "v");
            assert_eq!(now(store.hgetall("h")).unwrap().len(), 1);
            assert_eq!(now(store.zscore("z", "m")).unwrap(), Some(1.0));
            assert_eq!(now(store.zcount("z", ..)).unwrap(), 1);
            assert_eq!(now(store.zlexcount("z", "a".."z")).unwrap(), 1);
            assert_eq!(now(store.zrange("z")).unwrap(), ["m"]);
            assert_eq!(now(store.zrange("z").with_scores()).unwrap().len(), 1);
            assert_eq!(now(store.zhget("z", "m")).unwrap().unwrap(), "v");
            assert_eq!(backend.calls().len(), if round == 0 { 9 } else { 0 });
        }
    }
}

#[test]
fn every_kind_of_write_is_seen_at_once() {
    for (_, _, store) in caches() {
        let get = || now(store.get("k")).unwrap();
        now(store.set("k", 1)).unwrap();
        assert_eq!(get().unwrap(), "1");
        now(store.incr_by("k", 1)).unwrap();
        assert_eq!(get().unwrap(), "2");
        let mut batch = store.batch();
        batch.set("k", 3);
        drop(now(batch.exec()).unwrap());
        assert_eq!(get().unwrap(), "3");
        let mut tx = store.atomic_write();
        tx.set("k", 4);
        assert_eq!(now(tx.exec()).unwrap(), Outcome::Committed);
        assert_eq!(get().unwrap(), "4");
        now(store.delete("k")).unwrap();
        assert_eq!(get(), None);
    }
}

/// The original Go package answered a range without a limit with a reply that it had cached for a
/// limit of 5.
#[test]
fn a_range_cached_with_a_limit_does_not_answer_a_longer_one() {
    for (backend, _, store) in caches() {
        for i in 0..10 {
            now(store.zadd("z", format!("{i}"), f64::from(i))).unwrap();
        }
        assert_eq!(now(store.zrange("z").limit(5)).unwrap().len(), 5);
        backend.calls();
        assert_eq!(now(store.zrange("z").limit(3)).unwrap(), ["0", "1", "2"]);
        assert!(backend.calls().is_empty());
        assert_eq!(now(store.zrange("z").limit(6)).unwrap().len(), 6);
        assert_eq!(now(store.zrange("z")).unwrap().len(), 10);
        assert_eq!(backend.calls().len(), 2);
        assert_eq!(now(store.zrange("z").limit(9)).unwrap().len(), 9);
        assert_eq!(now(store.zrange("z").rev().limit(1)).unwrap(), ["9"]);
        assert_eq!(backend.calls().len(), 1);
    }
}

/// The original Go package cached both under one key.
#[test]
fn sorted_sets_and_sorted_hashes_share_no_entry() {
    for (_, _, store) in caches() {
        now(store.zhadd("z", "field", "value", 1.0)).unwrap();
        for _ in 0..2 {
            assert_eq!(now(store.zrange("z")).unwrap(), ["field"]);
            assert_eq!(now(store.zhrange("z")).unwrap(), ["value"]);
        }
    }
}

/// The original Go package cached an error without expiry.
#[test]
fn an_error_is_never_kept() {
    for (backend, _, store) in caches() {
        now(store.set("k", "v")).unwrap();
        backend.fail(ErrorKind::Unavailable);
        assert_eq!(now(store.get("k")).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "v");
    }
}

/// The cache of the original Go package was unbounded.
#[test]
fn a_cache_is_bounded_in_entries_and_in_bytes() {
    let backend = ParkingBackend::default();
    for (options, most) in
        [(CacheOptions::max_replies(500), 500), (CacheOptions::max_bytes(100_000), 100_000)]
    {
        for cache in
            [Cache::shared(backend.clone(), options), Cache::request_with(backend.clone(), options)]
        {
            let store = Store::with_backend(cache.clone());
            for i in 0..5_000 {
                now(store.get(format!("key {i}"))).unwrap();
            }
            let stats = cache.stats();
            assert!(stats.size <= most && stats.size > most / 3, "{stats:?}");
            assert!(stats.evictions > 4_000, "{stats:?}");
        }
    }
}

/// The Rust port invalidated a key when its members were counted.
#[test]
fn a_count_forgets_nothing() {
    for (backend, _, store) in caches() {
        now(store.zrange("z")).unwrap();
        now(store.zcount("z", ..)).unwrap();
        now(store.zrange("z")).unwrap();
        assert_eq!(backend.calls(), ["zrange", "zcount"]);
    }
}

/// The original Go package returned its own slice.
#[test]
fn what_a_caller_does_to_an_answer_does_not_change_what_is_kept() {
    for (_, _, store) in caches() {
        now(store.sadd("s", ["a", "b"])).unwrap();
        for _ in 0..2 {
            let mut members: Vec<Value> = now(store.smembers("s")).unwrap();
            assert_eq!(members.len(), 2);
            members.clear();
        }
    }
}

#[test]
fn a_whole_hash_answers_for_each_of_its_fields() {
    for (backend, _, store) in caches() {
        now(store.hset("h", [("b", "2"), ("a", "1"), ("", "0")])).unwrap();
        now(store.hgetall("h")).unwrap();
        backend.calls();
        for (field, value) in [("", Some("0")), ("a", Some("1")), ("b", Some("2")), ("c", None)] {
            assert_eq!(now(store.hget("h", field)).unwrap(), value.map(Value::from), "{field}");
        }
        assert!(backend.calls().is_empty());
    }
}

#[test]
fn a_strong_read_is_never_answered_from_what_an_eventual_one_has_found() {
    for (backend, _, store) in caches() {
        let eventual = store.eventually_consistent();
        for _ in 0..2 {
            now(eventual.get("k")).unwrap();
        }
        assert_eq!(backend.calls(), ["get"]);
        // Bypasses the cache, as another process does. The replica has not received the write yet.
        now(Store::with_backend(backend.memory.clone()).set("k", "v")).unwrap();
        assert_eq!(now(eventual.get("k")).unwrap(), None);
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "v");
        assert_eq!(backend.calls(), ["get"]);
        // A strong reply answers an eventual read.
        assert_eq!(now(eventual.get("k")).unwrap().unwrap(), "v");
        assert!(backend.calls().is_empty());
    }
}

#[test]
fn an_eventual_read_sees_what_a_write_has_outdated_for_a_stated_time_and_not_without_one() {
    let backend = ParkingBackend::default();
    for (time, old) in [(Duration::ZERO, false), (Duration::from_secs(3_600), true)] {
        let options = CacheOptions::max_replies(9).settle_time(Duration::ZERO).eventual_grace(time);
        let store = Store::with_backend(Cache::shared(backend.clone(), options));
        let eventual = store.eventually_consistent();
        now(store.set("k", 1)).unwrap();
        now(eventual.get("k")).unwrap();
        now(store.set("k", 2)).unwrap();
        assert_eq!(now(eventual.get("k")).unwrap().unwrap(), if old { "1" } else { "2" });
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "2");
    }
}

/// A replica may lag behind a write that this cache has seen. If its older reply were cached, it
/// would stay.
#[test]
fn what_a_replica_says_soon_after_a_write_is_not_kept() {
    let backend = ParkingBackend::default();
    let store = Store::with_backend(Cache::shared(backend.clone(), CacheOptions::max_replies(9)));
    let eventual = store.eventually_consistent();
    now(store.set("k", 1)).unwrap();
    for _ in 0..2 {
        now(eventual.get("k")).unwrap();
    }
    assert_eq!(backend.calls(), ["set", "get", "get"]);
    for _ in 0..2 {
        now(store.get("k")).unwrap();
        now(eventual.get("other")).unwrap();
    }
    assert_eq!(backend.calls(), ["get", "get"]);
}

#[test]
fn a_reply_lives_no_longer_than_it_may() {
    let backend = ParkingBackend::default();
    for (time, asked) in [(Duration::ZERO, 2), (Duration::from_secs(3_600), 1)] {
        let options = CacheOptions::max_replies(9).time_to_live(time);
        let store = Store::with_backend(Cache::shared(backend.clone(), options));
        now(store.get("k")).unwrap();
        now(store.get("k")).unwrap();
        assert_eq!(backend.calls().len(), asked);
    }
}

#[test]
fn what_did_not_pass_the_cache_can_be_told_to_it() {
    for (backend, cache, store) in caches() {
        let past = Store::with_backend(backend.memory.clone());
        now(store.get("a")).unwrap();
        now(store.get("b")).unwrap();
        now(past.set("a", 1)).unwrap();
        now(past.set("b", 1)).unwrap();
        cache.invalidate("a");
        assert_eq!(now(store.get("a")).unwrap().unwrap(), "1");
        assert_eq!(now(store.get("b")).unwrap(), None);
        cache.invalidate_all();
        assert!(!cache.contains("a"));
        assert_eq!(now(store.get("b")).unwrap().unwrap(), "1");
    }
}

#[test]
fn a_cache_of_a_request_stands_on_the_one_that_all_share() {
    let backend = ParkingBackend::default();
    let shared = Cache::shared(backend.clone(), CacheOptions::max_replies(100));
    let request = || Store::with_backend(Cache::request(shared.clone()));
    let (a, b) = (request(), request());
    now(a.get("k")).unwrap();
    now(b.get("k")).unwrap();
    assert_eq!(backend.calls(), ["get"]);
    now(b.set("k", 1)).unwrap();
    // A request keeps what it has read. The next request sees the new value.
    assert_eq!(now(a.get("k")).unwrap(), None);
    assert_eq!(now(request().get("k")).unwrap().unwrap(), "1");
}
