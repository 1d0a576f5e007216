//! Concurrent reads and writes. The test controls each step, with a backend that parks calls.

use super::parking_backend::ParkingBackend;
use super::{Cache, caches};
use super::{now, waits};
use keyvaluestore::wrap::CacheOptions;
use keyvaluestore::{Error, ErrorKind, Store};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

/// Blocks this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

type CacheStore = Store<Cache<ParkingBackend>>;

/// Writes `new` to `k`, in each way that a store can write.
type Write = fn(&CacheStore) -> Result<(), Error>;
const WRITES: [(&str, Write); 3] = [
    ("write", |store| now(store.set("k", "new"))),
    ("batch", |store| {
        let mut batch = store.batch();
        batch.set("k", "new");
        now(batch.exec()).map(drop)
    }),
    ("atomic write", |store| {
        let mut tx = store.atomic_write();
        tx.set("k", "new");
        now(tx.exec()).map(|_| ())
    }),
];

/// The original Go package and the Rust port cached the reply of such a read.
#[test]
fn a_read_that_was_in_flight_while_a_write_ran_is_not_kept() {
    for (name, write) in WRITES {
        for (backend, _, store) in caches() {
            now(store.set("k", "old")).unwrap();
            let parked = backend.park_after();
            let mut read = Box::pin(store.get("k"));
            waits(&mut read);
            write(&store).unwrap();
            parked.send(()).unwrap();
            assert_eq!(
                now(read).unwrap().unwrap(),
                "old",
                "they were concurrent: both values are valid"
            );
            assert_eq!(now(store.get("k")).unwrap().unwrap(), "new", "{name}");
        }
    }
}

#[test]
fn a_batch_that_was_in_flight_while_a_write_ran_is_not_kept() {
    for (backend, _, store) in caches() {
        now(store.set("k", "old")).unwrap();
        let parked = backend.park_after();
        let mut batch = store.batch();
        batch.get("k");
        let mut read = Box::pin(batch.exec());
        waits(&mut read);
        now(store.set("k", "new")).unwrap();
        parked.send(()).unwrap();
        drop(now(read).unwrap());
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
    }
}

#[test]
fn a_read_that_ran_within_a_write_is_not_kept() {
    for applied in [false, true] {
        for (backend, cache, store) in caches() {
            now(store.set("k", "old")).unwrap();
            now(store.get("k")).unwrap();
            let parked = if applied { backend.park_after() } else { backend.park_before() };
            let mut write = Box::pin(store.set("k", "new"));
            waits(&mut write);
            let seen = if applied { "new" } else { "old" };
            assert_eq!(now(store.get("k")).unwrap().unwrap(), seen);
            assert!(!cache.contains("k"), "while a write is in flight, no reply is cached");
            parked.send(()).unwrap();
            now(write).unwrap();
            assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
        }
    }
}

/// The read starts during the write, and ends after it with the value from before it.
#[test]
fn a_read_that_began_within_a_write_and_outlived_it_is_not_kept() {
    for (backend, _, store) in caches() {
        now(store.set("k", "old")).unwrap();
        let writing = backend.park_before();
        let mut write = Box::pin(store.set("k", "new"));
        waits(&mut write);
        let reading = backend.park_after();
        let mut read = Box::pin(store.get("k"));
        waits(&mut read);
        writing.send(()).unwrap();
        now(write).unwrap();
        reading.send(()).unwrap();
        assert_eq!(now(read).unwrap().unwrap(), "old");
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
    }
}

#[test]
fn a_key_is_kept_again_once_its_writes_have_ended() {
    for (name, write) in WRITES {
        for (backend, _, store) in caches() {
            write(&store).unwrap();
            now(store.get("k")).unwrap();
            backend.calls();
            now(store.get("k")).unwrap();
            assert!(backend.calls().is_empty(), "{name}");
        }
    }
}

#[test]
fn a_write_in_flight_does_not_keep_other_keys_from_being_kept() {
    for (backend, _, store) in caches() {
        let parked = backend.park_before();
        let mut write = Box::pin(store.set("k", "new"));
        waits(&mut write);
        for i in 0..200 {
            now(store.get(format!("other {i}"))).unwrap();
        }
        backend.calls();
        for i in 0..200 {
            now(store.get(format!("other {i}"))).unwrap();
        }
        assert!(backend.calls().is_empty());
        parked.send(()).unwrap();
        now(write).unwrap();
    }
}

#[test]
fn a_write_that_fails_is_forgotten_about_like_any_other() {
    for (name, write) in WRITES {
        for (backend, _, store) in caches() {
            now(store.set("k", "old")).unwrap();
            now(store.get("k")).unwrap();
            // Applied, but the reply is lost.
            backend.lose(ErrorKind::Timeout);
            assert!(write(&store).unwrap_err().outcome_is_unknown());
            assert_eq!(now(store.get("k")).unwrap().unwrap(), "new", "{name}");
        }
    }
}

#[test]
fn a_write_whose_future_is_dropped_is_forgotten_about_like_any_other() {
    for (backend, _, store) in caches() {
        now(store.set("k", "old")).unwrap();
        now(store.get("k")).unwrap();
        let _parked = backend.park_after();
        let mut write = Box::pin(store.set("k", "new"));
        waits(&mut write);
        drop(write);
        for _ in 0..2 {
            assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
        }
        assert_eq!(backend.calls(), ["set", "get", "set", "get"], "and it is cached again");
    }
}

/// The server may apply it later. A read before that sees the old value, which must not be cached.
#[test]
fn nothing_is_kept_for_a_while_behind_a_write_that_may_yet_be_applied() {
    let backend = ParkingBackend::default();
    let store = Store::with_backend(Cache::shared(backend.clone(), CacheOptions::max_replies(9)));
    let _parked = backend.park_before();
    let mut write = Box::pin(store.set("k", "new"));
    waits(&mut write);
    drop(write);
    assert_eq!(now(store.get("k")).unwrap(), None);
    now(Store::with_backend(backend.memory.clone()).set("k", "new")).unwrap(); // it is applied
    assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
    backend.lose(ErrorKind::Timeout);
    now(store.set("other", 1)).unwrap_err();
    backend.calls();
    for _ in 0..2 {
        now(store.get("other")).unwrap();
    }
    assert_eq!(backend.calls().len(), 2);
}

#[test]
fn what_was_in_flight_when_the_cache_was_told_to_forget_is_not_kept() {
    for all in [false, true] {
        for (backend, cache, store) in caches() {
            let parked = backend.park_after();
            let mut read = Box::pin(store.get("k"));
            waits(&mut read);
            now(Store::with_backend(backend.memory.clone()).set("k", "new")).unwrap();
            if all {
                cache.invalidate_all();
            } else {
                cache.invalidate("k");
            }
            parked.send(()).unwrap();
            now(read).unwrap();
            assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
        }
    }
}

/// Counters only grow: no read may return less than the value when it started. The original Go
/// package changed its maps without a lock.
#[test]
fn many_threads_never_see_less_than_what_was_written_before() {
    let options = CacheOptions::max_replies(16).settle_time(Duration::ZERO);
    for cache in [
        Cache::shared(ParkingBackend::default(), options),
        Cache::request_with(ParkingBackend::default(), options),
    ] {
        let store = Store::with_backend(cache);
        let written: [AtomicI64; 4] = Default::default();
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (store, written) = (store.clone(), &written);
                scope.spawn(move || {
                    for i in 0..3_000_usize {
                        let key = (i * 7 + thread) % 4;
                        let name = format!("n{key}");
                        if i % 5 == 0 {
                            let n = block_on(store.incr_by(&name, 1));
                            written[key].fetch_max(n.unwrap(), SeqCst);
                            continue;
                        }
                        let before = written[key].load(SeqCst);
                        let n = block_on(store.get(&name)).unwrap();
                        let n = n.map_or(0, |n| n.to::<i64>().unwrap());
                        assert!(n >= before, "{n} was read after {before} was written");
                    }
                });
            }
        });
        assert!(store.backend().stats().hits > 0);
    }
}

/// A reply that is added to an entry does not restore replies that `invalidate_all` removed.
#[test]
fn what_all_was_forgotten_with_does_not_come_back() {
    let memory = keyvaluestore::Memory::new();
    let past = Store::with_backend(memory.clone());
    let cache = Cache::shared(memory, CacheOptions::max_replies(100_000));
    let store = Store::with_backend(cache.clone());
    let end = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, end) = (&store, &end);
            scope.spawn(move || {
                for i in (0_u64..).take_while(|_| !end.load(SeqCst)) {
                    block_on(store.hget("h", format!("{thread} {i}"))).unwrap();
                }
            });
        }
        let mut stale = 0;
        for round in 0..5_000 {
            now(past.hset("h", [("a", round)])).unwrap();
            cache.invalidate_all();
            let value = block_on(store.hget("h", "a")).unwrap().unwrap();
            stale += u32::from(value != round.to_string().as_str());
        }
        end.store(true, SeqCst);
        assert_eq!(stale, 0);
    });
}

/// A replica may lag behind the writes that were the reason for `invalidate_all`.
#[test]
fn what_a_replica_says_soon_after_all_was_forgotten_is_not_kept() {
    let (backend, options) = (ParkingBackend::default(), CacheOptions::max_replies(9));
    for cache in
        [Cache::shared(backend.clone(), options), Cache::request_with(backend.clone(), options)]
    {
        let store = Store::with_backend(cache.clone());
        let eventual = store.eventually_consistent();
        cache.invalidate_all();
        (0..2).for_each(|_| drop(now(eventual.get("k")).unwrap()));
        assert_eq!(backend.calls().len(), 2);
        (0..2).for_each(|_| drop(now(store.get("k")).unwrap()));
        assert_eq!(backend.calls().len(), 1);
    }
}

/// For so many keys the settle time is noted for whole stripes. It must not be lost.
#[test]
fn what_a_replica_says_soon_after_very_many_writes_is_not_kept() {
    let (backend, options) = (ParkingBackend::default(), CacheOptions::max_replies(100_000));
    for cache in [Cache::shared(backend.clone(), options), Cache::request_with(backend, options)] {
        let store = Store::with_backend(cache.clone());
        (0..100_000).for_each(|i| now(store.set(format!("key {i}"), 1)).unwrap());
        let eventual = store.eventually_consistent();
        for _ in 0..2 {
            (0..1_000).for_each(|i| drop(now(eventual.get(format!("key {i}"))).unwrap()));
        }
        assert_eq!((cache.stats().hits, cache.stats().size), (0, 0));
        (0..2).for_each(|_| drop(now(store.get("key 1")).unwrap()));
        assert_eq!(cache.stats().hits, 1);
    }
}
