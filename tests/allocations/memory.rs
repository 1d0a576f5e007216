//! Asserts the number of allocations per call of the memory backend.
//!
//! The stores have 1,000 keys of 30 bytes, with values of 100 bytes. Such keys are too long to be
//! inline, so each conversion from text to `Key` allocates. With shorter keys all counts are lower.

use crate::{VALUE, at_most, now};
use allocation_counter::measure;
use keyvaluestore::{Backend, Key, Memory, Store, Value};

fn name(kind: &str, i: usize) -> String {
    format!("{kind}:{i:0width$}", width = 29 - kind.len())
}

fn fill<B: Backend>(store: &Store<B>) {
    for i in 0..1_000 {
        now(store.set(name("string", i), VALUE));
    }
    now(store.sadd(name("set", 0), (0..10).map(|i| name("member", i))));
    for i in 0..10_000 {
        now(store.zadd(name("sorted", 0), name("member", i), i as f64));
    }
}

#[test]
fn a_get_of_a_shared_key_on_a_concrete_backend_allocates_nothing() {
    let store = Store::with_backend(Memory::new());
    fill(&store);
    let key = Key::from(name("string", 500));
    at_most(0, "get, shared key, concrete", || now(store.get(&key)));
    at_most(0, "get, missing", || now(store.get(&Key::from_static(b"missing"))));
    at_most(0, "get, short text as key", || now(store.get("string")));
}

#[test]
fn calls_on_an_erased_backend_with_text_as_key() {
    let store = Store::memory();
    fill(&store);
    let (string, set, sorted) = (name("string", 500), name("set", 0), name("sorted", 0));
    at_most(2, "get", || now(store.get(&string)));
    at_most(3, "set", || now(store.set(&string, VALUE)));
    at_most(4, "set_eq", || now(store.set_eq(&string, VALUE, VALUE)));
    at_most(2, "incr_by", || now(store.incr_by("short", 1)));
    at_most(3, "smembers of 10", || now(store.smembers(&set)));
    at_most(4, "zrange of 10 in 10,000", || {
        let ten = now(store.zrange(&sorted).by_score(5_000.0..5_010.0).into_future());
        assert_eq!(ten.len(), 10);
        ten
    });
    let ten: Vec<Value> = now(store.zrange(&sorted).limit(10).into_future());
    assert_eq!(ten.len(), 10);
}

#[test]
fn zadd_into_ten_thousand() {
    let store = Store::memory();
    fill(&store);
    let sorted = name("sorted", 0);
    // The average of many calls, because a new member sometimes splits a node of the tree.
    let members: Vec<_> = (0..1_000).map(|i| name("new", i)).collect();
    let counted = measure(|| {
        for (i, member) in members.iter().enumerate() {
            now(store.zadd(&sorted, member, (i * 7 % 10_000) as f64 + 0.5));
        }
    });
    let each = counted.count_total as f64 / 1_000.0;
    println!("zadd of a new member: {each} allocations");
    assert!(each <= 5.0, "zadd of a new member: {each} allocations");
    at_most(5, "zadd that moves", || now(store.zadd(&sorted, &members[5], 77.25)));
}

#[test]
fn an_atomic_write_of_four() {
    let store = Store::memory();
    fill(&store);
    let keys: Vec<_> = (0..4).map(|i| name("string", i)).collect();
    at_most(10, "atomic write of 4", || {
        let mut tx = store.atomic_write();
        tx.set(&keys[0], "1");
        tx.set_xx(&keys[1], "2");
        tx.set_eq(&keys[2], "3", VALUE);
        tx.delete(&keys[3]);
        now(tx.exec())
    });
}

#[test]
fn a_batch_of_a_hundred_gets() {
    let store = Store::memory();
    fill(&store);
    let keys: Vec<_> = (0..100).map(|i| name("string", i)).collect();
    at_most(110, "batch of 100 gets", || {
        let mut batch = store.batch();
        let mut last = None;
        for key in &keys {
            last = Some(batch.get(key));
        }
        let mut replies = now(batch.exec());
        let value = replies.take(last.expect("there are a hundred")).expect("it worked");
        assert_eq!(value.expect("it is there"), VALUE);
    });
}

#[test]
fn thousands_of_stores_are_made_and_dropped() {
    at_most(3, "a new store", || Store::with_backend(Memory::new()));
}
