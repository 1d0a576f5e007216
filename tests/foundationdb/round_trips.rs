//! Counts round trips: reads and commits.

use super::store;
use keyvaluestore::observe::Observer;
use keyvaluestore::{ErrorKind, Result, Store};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Default)]
struct RoundTrips(Mutex<Vec<&'static str>>);

impl RoundTrips {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for RoundTrips {
    fn on_round_trip(&self, backend: &'static str, request: &'static str, _: Duration) {
        assert_eq!(backend, "foundationdb");
        self.0.lock().unwrap().push(request);
    }
    fn on_retry(&self, _: Option<&'static str>, because: ErrorKind) {
        panic!("a retry without concurrent writers: {because:?}");
    }
}

type Call = fn(Store) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

macro_rules! call {
    ($s:ident => $call:expr) => {
        |$s| Box::pin(async move { $call.await.map(drop) })
    };
}

const READ: &[&str] = &["read"];
const COMMIT: &[&str] = &["commit"];
const BOTH: &[&str] = &["read", "commit"];

#[tokio::test]
async fn a_read_is_one_wave_and_a_write_a_commit_after_at_most_one() {
    let rows: &[(&str, Call, &[&str])] = &[
        ("get", call!(s => s.get("s")), READ),
        ("exists", call!(s => s.exists("s")), READ),
        ("set", call!(s => s.set("s", "new")), COMMIT),
        ("set_nx", call!(s => s.set_nx("new", "v")), BOTH),
        ("set_nx, which does not hold", call!(s => s.set_nx("s", "v")), READ),
        ("set_xx", call!(s => s.set_xx("s", "v")), BOTH),
        ("set_eq", call!(s => s.set_eq("s", "w", "v")), BOTH),
        ("delete", call!(s => s.delete("s")), BOTH),
        ("incr_by", call!(s => s.incr_by("n", 1)), BOTH),
        ("sadd", call!(s => s.sadd("set", ["a", "b"])), COMMIT),
        ("srem", call!(s => s.srem("set", ["a"])), COMMIT),
        ("smembers", call!(s => s.smembers("set")), READ),
        ("hset", call!(s => s.hset("h", [("a", "1"), ("b", "2")])), COMMIT),
        ("hset_nx", call!(s => s.hset_nx("h", "c", "3")), BOTH),
        ("hdel", call!(s => s.hdel("h", ["a"])), COMMIT),
        ("hget", call!(s => s.hget("h", "b")), READ),
        ("hgetall", call!(s => s.hgetall("h")), READ),
        ("zadd", call!(s => s.zadd("z", "a", 1.0)), BOTH),
        ("zadd of what is there", call!(s => s.zadd("z", "a", 1.0)), READ),
        ("zincr_by", call!(s => s.zincr_by("z", "a", 1.0)), BOTH),
        ("zscore", call!(s => s.zscore("z", "a")), READ),
        ("zcount", call!(s => s.zcount("z", ..)), READ),
        ("zrange", call!(s => s.zrange("z")), READ),
        ("zhadd", call!(s => s.zhadd("z", "b", "v", 2.0)), BOTH),
        ("zhget", call!(s => s.zhget("z", "b")), READ),
        ("zhrange: members and values together", call!(s => s.zhrange("z")), READ),
        ("zrem", call!(s => s.zrem("z", "a")), BOTH),
    ];
    let (store, round_trips) = (store().await, Arc::new(RoundTrips::default()));
    store.set("s", "v").await.unwrap();
    let watched = store.with_observer(round_trips.clone());
    for (name, call, expected) in rows {
        call(watched.clone()).await.unwrap();
        assert_eq!(round_trips.take(), *expected, "{name}");
    }
}

#[tokio::test]
async fn a_batch_and_an_atomic_write_read_in_one_wave() {
    let round_trips = Arc::new(RoundTrips::default());
    let store = store().await.with_observer(round_trips.clone());
    let mut tx = store.atomic_write();
    for i in 0..10 {
        tx.set_nx(format!("k{i}"), i);
    }
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(round_trips.take(), BOTH);

    let mut tx = store.atomic_write();
    (0..10).for_each(|i| tx.set(format!("k{i}"), i));
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(round_trips.take(), COMMIT, "blind writes");

    let mut tx = store.atomic_write();
    (0..10).for_each(|i| tx.delete(format!("k{i}")));
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(round_trips.take(), BOTH, "each reads whether its key is a sorted set");

    let mut batch = store.batch();
    for i in 0..100 {
        let _ = batch.get(format!("k{i}"));
    }
    batch.exec().await.unwrap();
    assert_eq!(round_trips.take(), READ);

    let mut batch = store.batch();
    for i in 0..100 {
        let _ = batch.zadd(format!("z{i}"), "m", 1.0);
    }
    batch.exec().await.unwrap();
    assert_eq!(round_trips.take(), BOTH);
}

#[tokio::test]
async fn long_values_take_a_second_wave() {
    let round_trips = Arc::new(RoundTrips::default());
    let store = store().await.with_observer(round_trips.clone());
    let long = vec![b'x'; 350_000];
    store.set("k", &long).await.unwrap();
    for i in 0..3 {
        store.zhadd("z", i, &long[..5_000], 0.0).await.unwrap();
    }
    round_trips.take();
    assert_eq!(store.get("k").await.unwrap().unwrap(), long);
    assert_eq!(round_trips.take(), ["read", "read"]);
    assert_eq!(store.zhrange("z").await.unwrap().len(), 3);
    assert_eq!(round_trips.take(), ["read", "read"]);
}
