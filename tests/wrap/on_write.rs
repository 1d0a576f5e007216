//! `OnWrite` calls its hook once per written key, when the write has ended.

use super::parking_backend::ParkingBackend;
use super::{now, waits};
use keyvaluestore::wrap::OnWrite;
use keyvaluestore::{ErrorKind, Key, Store};
use std::sync::{Arc, Mutex};

type Keys = Arc<Mutex<Vec<Key>>>;

fn store() -> (ParkingBackend, Keys, Store) {
    let (backend, keys) = (ParkingBackend::default(), Keys::default());
    let note = Arc::clone(&keys);
    let hook = move |key: &Key| note.lock().unwrap().push(key.clone());
    (backend.clone(), keys, Store::new(OnWrite::new(backend, hook)))
}
fn take(keys: &Keys) -> Vec<Key> {
    std::mem::take(&mut *keys.lock().unwrap())
}

#[test]
fn every_key_that_was_written_is_told_once() {
    let (_, keys, store) = store();
    now(store.set("a", 1)).unwrap();
    assert_eq!(take(&keys), ["a"]);
    let mut batch = store.batch();
    batch.set("a", 1);
    batch.get("read");
    batch.incr_by("a", 1);
    batch.set("b", 1);
    drop(now(batch.exec()).unwrap());
    assert_eq!(take(&keys), ["a", "b"]);
    let mut tx = store.atomic_write();
    tx.zadd("z", "m", 0.0);
    tx.zadd("z", "n", 0.0);
    tx.set("a", 2);
    assert!(now(tx.exec()).unwrap().is_committed());
    assert_eq!(take(&keys), ["a", "z"]);
    now(store.get("a")).unwrap();
    assert!(take(&keys).is_empty());
}

#[test]
fn the_outcome_does_not_matter() {
    let (backend, keys, store) = store();
    backend.fail(ErrorKind::Unavailable);
    now(store.set("a", 1)).unwrap_err();
    assert_eq!(take(&keys), ["a"]);
    let mut tx = store.atomic_write();
    tx.set_xx("a", 1);
    assert!(!now(tx.exec()).unwrap().is_committed());
    assert_eq!(take(&keys), ["a"]);
}

#[test]
fn it_is_told_when_the_write_has_ended_also_if_its_future_is_dropped() {
    let (backend, keys, store) = store();
    let parked = backend.park_after();
    let mut write = Box::pin(store.set("a", 1));
    waits(&mut write);
    assert!(take(&keys).is_empty(), "not before");
    parked.send(()).unwrap();
    now(write).unwrap();
    assert_eq!(take(&keys), ["a"]);
    let _parked = backend.park_before();
    let mut write = Box::pin(store.set("b", 1));
    waits(&mut write);
    drop(write);
    assert_eq!(take(&keys), ["b"]);
}
