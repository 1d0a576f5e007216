//! Single flight: concurrent misses of the same read share one read of the backend.

use super::parking_backend::ParkingBackend;
use super::{Cache, caches};
use super::{now, waits};
use futures_util::FutureExt;
use keyvaluestore::wrap::CacheOptions;
use keyvaluestore::{ErrorKind, Store};

#[test]
fn a_hundred_who_miss_the_same_wait_for_one_read() {
    for (backend, _, store) in caches() {
        now(store.set("k", "v")).unwrap();
        backend.calls();
        let parked = backend.park_before();
        let mut reads: Vec<_> = (0..100).map(|_| Box::pin(store.get("k"))).collect();
        reads.iter_mut().for_each(waits);
        parked.send(()).unwrap();
        for read in reads {
            assert_eq!(now(read).unwrap().unwrap(), "v");
        }
        assert_eq!(backend.calls(), ["get"]);
    }
}

/// Also a thread that missed just before the shared read was stored does not read again.
#[test]
fn threads_that_miss_the_same_at_the_same_time_read_it_once() {
    const KEYS: usize = 1_000;
    let (backend, options) = (ParkingBackend::default(), CacheOptions::max_replies(1_000_000));
    let store = Store::with_backend(Cache::shared(backend.clone(), options));
    let barrier = std::sync::Barrier::new(4);
    let read_all = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        barrier.wait();
        for i in 0..KEYS {
            runtime.block_on(store.get(format!("key {i}"))).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(read_all);
        }
    });
    assert_eq!(backend.calls().len(), KEYS);
}

#[test]
fn when_the_one_read_fails_the_others_do_not() {
    for (backend, _, store) in caches() {
        now(store.set("k", "v")).unwrap();
        backend.calls();
        let parked = backend.park_and_fail(ErrorKind::Unavailable);
        let mut reads: Vec<_> = (0..100).map(|_| Box::pin(store.get("k"))).collect();
        reads.iter_mut().for_each(waits);
        parked.send(()).unwrap();
        let mut answers = reads.into_iter().map(now);
        assert_eq!(answers.next().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(answers.all(|answer| answer.unwrap().unwrap() == "v"));
    }
}

#[test]
fn when_the_one_read_is_given_up_another_takes_it_over() {
    for (backend, _, store) in caches() {
        now(store.set("k", "v")).unwrap();
        backend.calls();
        let _first = backend.park_before();
        let second = backend.park_before();
        let mut reads: Vec<_> = (0..100).map(|_| Box::pin(store.get("k"))).collect();
        reads.iter_mut().for_each(waits);
        drop(reads.remove(0));
        reads.iter_mut().for_each(waits);
        assert_eq!(backend.calls(), ["get", "get"]);
        second.send(()).unwrap();
        for read in reads {
            assert_eq!(now(read).unwrap().unwrap(), "v");
        }
        assert!(backend.calls().is_empty());
    }
}

#[test]
fn a_call_that_waits_may_be_cancelled() {
    for (backend, _, store) in caches() {
        let parked = backend.park_before();
        let mut first = Box::pin(store.get("k"));
        let mut second = Box::pin(store.get("k"));
        waits(&mut first);
        waits(&mut second);
        drop(second);
        parked.send(()).unwrap();
        assert_eq!(now(first).unwrap(), None);
    }
}

/// Its value may be from before the write. A read that starts after the write must see the write.
#[test]
fn nobody_joins_a_read_that_began_before_a_write() {
    for (backend, _, store) in caches() {
        now(store.set("k", "old")).unwrap();
        let parked = backend.park_after();
        let mut before = Box::pin(store.get("k"));
        waits(&mut before);
        now(store.set("k", "new")).unwrap();
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
        parked.send(()).unwrap();
        assert_eq!(now(before).unwrap().unwrap(), "old");
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "new");
    }
}

/// Otherwise a reader may see the old value after another has seen the new one.
#[test]
fn nobody_joins_a_read_while_a_write_is_in_flight() {
    for (backend, _, store) in caches() {
        now(store.set("k", "old")).unwrap();
        let writing = backend.park_after(); // applied, without a reply
        let mut write = Box::pin(store.set("k", "new"));
        let reading = backend.park_before();
        waits(&mut write);
        let mut first = Box::pin(store.get("k"));
        waits(&mut first);
        let second = store.get("k").now_or_never();
        assert_eq!(second.expect("it does not wait for the first").unwrap().unwrap(), "new");
        reading.send(()).unwrap();
        writing.send(()).unwrap();
        now(first).unwrap();
        now(write).unwrap();
    }
}

#[test]
fn strong_and_eventual_reads_do_not_wait_for_each_other() {
    for (backend, _, store) in caches() {
        let eventual = store.eventually_consistent();
        let parked = backend.park_before();
        let mut first = Box::pin(eventual.get("k"));
        waits(&mut first);
        assert_eq!(now(store.get("k")).unwrap(), None);
        parked.send(()).unwrap();
        now(first).unwrap();
    }
}
