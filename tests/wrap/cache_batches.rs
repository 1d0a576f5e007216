//! Batches and atomic writes on a cache.

use super::caches;
use super::now;
use keyvaluestore::ErrorKind;

#[test]
fn what_is_known_of_a_batch_is_answered_and_the_rest_is_one_batch() {
    for (backend, _, store) in caches() {
        for key in ["a", "b", "c", "d"] {
            now(store.set(key, key)).unwrap();
        }
        now(store.get("a")).unwrap();
        now(store.get("c")).unwrap();
        backend.calls();
        for round in 0..2 {
            let mut batch = store.batch();
            let gets = ["a", "b", "c", "d"].map(|key| (key, batch.get(key)));
            let mut replies = now(batch.exec()).unwrap();
            for (key, get) in gets {
                assert_eq!(replies.take(get).unwrap().unwrap(), key);
            }
            let asked: &[&str] = if round == 0 { &["batch get get"] } else { &[] };
            assert_eq!(backend.calls(), asked);
        }
    }
}

#[test]
fn a_read_behind_a_write_of_the_same_batch_sees_it_and_one_before_it_does_not() {
    for (backend, _, store) in caches() {
        now(store.set("k", 1)).unwrap();
        now(store.get("k")).unwrap();
        now(store.get("other")).unwrap();
        backend.calls();
        let mut batch = store.batch();
        let before = batch.get("k");
        batch.set("k", 2);
        let behind = batch.get("k");
        let other = batch.get("other");
        let mut replies = now(batch.exec()).unwrap();
        assert_eq!(replies.take(before).unwrap().unwrap(), "1");
        assert_eq!(replies.take(behind).unwrap().unwrap(), "2");
        assert_eq!(replies.take(other).unwrap(), None);
        assert_eq!(backend.calls(), ["batch set get"]);
        // No reply of a key that the batch wrote is cached, not even of the read after the write.
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "2");
        assert_eq!(backend.calls(), ["get"]);
    }
}

/// In the original Go package, an error in the cache made a batch skip its writes without an error.
#[test]
fn a_failed_read_neither_stops_nor_hides_the_writes_of_a_batch() {
    for (backend, _, store) in caches() {
        now(store.sadd("set", ["m"])).unwrap();
        let run = || {
            let mut batch = store.batch();
            let wrong = batch.get("set");
            let set = batch.set("k", "v");
            let mut replies = now(batch.exec_each());
            assert_eq!(replies.take(wrong).unwrap_err().kind(), ErrorKind::WrongType);
            replies.take(set).unwrap();
        };
        run();
        now(store.delete("k")).unwrap();
        run();
        assert_eq!(now(store.get("k")).unwrap().unwrap(), "v");
        assert_eq!(backend.calls().len(), 5);
    }
}

#[test]
fn an_atomic_write_is_seen_in_all_of_its_keys() {
    for (_, _, store) in caches() {
        for key in ["a", "b"] {
            now(store.get(key)).unwrap();
        }
        now(store.zrange("z")).unwrap();
        let mut tx = store.atomic_write();
        tx.set("a", 1);
        tx.set("b", 2);
        tx.zadd("z", "m", 0.0);
        tx.zadd("z", "n", 0.0);
        assert!(now(tx.exec()).unwrap().is_committed());
        assert_eq!(now(store.get("a")).unwrap().unwrap(), "1");
        assert_eq!(now(store.get("b")).unwrap().unwrap(), "2");
        assert_eq!(now(store.zrange("z")).unwrap(), ["m", "n"]);
    }
}
