//! A Redis cluster of real servers: batches, resharding, replicas, and failover.

#![cfg(feature = "redis")]

mod support;

use futures_util::future::join_all;
use keyvaluestore::{ErrorKind, Redis, Store, backend::RedisOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::redis::{Cluster, Server};

/// The slot of keys with the hash tag `{foo}`, from the cluster specification. With three primaries
/// the last one has it.
const FOO: u16 = 12_182;

async fn open(cluster: &Cluster) -> Store {
    Store::new(Redis::open(cluster.url()).await.expect("a cluster"))
}

fn reads(node: &Server) -> u64 {
    // Includes this call itself and its sign-in, which are the same number of reads each time.
    node.info("stats", "total_reads_processed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_round_trip_to_every_server_of_its_keys() {
    let cluster = Cluster::start(3, 0);
    let store = open(&cluster).await;
    let keys: Vec<String> = (0..300).map(|i| format!("key:{i}")).collect();
    let batch = async || {
        let mut batch = store.batch();
        let sets: Vec<_> = keys.iter().map(|key| batch.set(key, key)).collect();
        let gets: Vec<_> = keys.iter().map(|key| batch.get(key)).collect();
        let mut replies = batch.exec().await.unwrap();
        sets.into_iter().for_each(|handle| replies.take(handle).unwrap());
        for (handle, key) in gets.into_iter().zip(&keys) {
            assert_eq!(replies.take(handle).unwrap().unwrap(), key.as_bytes());
        }
    };
    batch().await; // connects
    let cost = |before: &[u64]| -> Vec<u64> {
        cluster.nodes.iter().zip(before).map(|(node, before)| reads(node) - before).collect()
    };
    let before: Vec<u64> = cluster.nodes.iter().map(reads).collect();
    let nothing = cost(&before);
    let before: Vec<u64> = cluster.nodes.iter().map(reads).collect();
    batch().await;
    let with = cost(&before);
    for (with, nothing) in with.iter().zip(&nothing) {
        // 600 commands of 30 KB may reach a server in a few pieces, but never one by one.
        assert!((1..=4).contains(&(with - nothing)), "{with} reads, and {nothing} without");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_write_over_two_slots_is_refused_before_it_is_sent() {
    let (url, n) = support::redis::cluster();
    let store = Store::open(&url).await.unwrap();
    let mut tx = store.atomic_write();
    tx.set(format!("user:{n}:7"), "x");
    tx.hset(format!("mail:{{user:{n}:7}}"), [("f", "v")]);
    tx.sadd(format!("tags:{n}:7"), ["x"]);
    let error = tx.exec().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let text = error.to_string();
    for says in ["writes 0 and 2", "hash tag"] {
        assert!(text.contains(says), "{text}");
    }
    for key in [format!("user:{n}"), format!("tags:{n}")] {
        assert!(!format!("{error:?}").contains(&key), "{error:?}");
    }
    assert!(!error.outcome_is_unknown());
    assert_eq!(store.get(format!("user:{n}:7")).await.unwrap(), None);
    let mut tx = store.atomic_write();
    tx.set(format!("user:{{{n}}}"), "x");
    tx.zhadd(format!("names:{{{n}}}"), "f", "v", 0.0);
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(store.zhrange(format!("names:{{{n}}}")).await.unwrap(), ["v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_may_move_while_they_are_in_use() {
    let cluster = Arc::new(Cluster::start(3, 0));
    let store = open(&cluster).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for task in 0..8 {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            let (counter, sorted) = (format!("{{foo}}n:{task}"), format!("{{foo}}z:{task}"));
            let elsewhere = format!("n:{task}");
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let member = format!("{}", n % 10);
                store.zhadd(&sorted, &member, n, n as f64).await.expect("zhadd");
                let mut tx = store.atomic_write();
                tx.incr_by(&counter, 1);
                tx.zadd(&sorted, format!("last:{}", n % 3), n as f64);
                assert!(tx.exec().await.expect("an atomic write").is_committed());
                let mut batch = store.batch();
                let here = batch.get(&counter);
                let there = batch.incr_by(&elsewhere, 1);
                let value = batch.zhget(&sorted, &member);
                let renewed = batch.zhadd(&sorted, &member, n + 1, n as f64);
                let after = batch.zhget(&sorted, &member);
                let mut replies = batch.exec().await.expect("a batch");
                let here = replies.take(here).unwrap().unwrap();
                assert_eq!(here.to::<i64>().unwrap(), n);
                assert_eq!(replies.take(there).unwrap(), n);
                let value = replies.take(value).unwrap().unwrap();
                assert_eq!(value.to::<i64>().unwrap(), n);
                replies.take(renewed).unwrap();
                let after = replies.take(after).unwrap().unwrap();
                assert_eq!(after.to::<i64>().unwrap(), n + 1);
            }
            assert!(n > 10, "{n} rounds");
            assert_eq!(store.incr_by(&counter, 0).await.unwrap(), n);
        }));
    }
    let mover = Arc::clone(&cluster);
    let moves = tokio::task::spawn_blocking(move || {
        for (from, to) in [(2, 0), (0, 1), (1, 2), (2, 1)] {
            let pause = || std::thread::sleep(Duration::from_millis(300));
            pause();
            mover.move_slot(FOO, from, to, pause);
        }
    });
    moves.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no error while slots move");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_answer_eventual_reads_and_no_other() {
    let mut cluster = Cluster::start(3, 3);
    let store = open(&cluster).await;
    let gets = |cluster: &Cluster| -> (u64, u64) {
        let of = |nodes: &[Server]| nodes.iter().map(|node| node.calls("get")).sum();
        (of(&cluster.nodes[..3]), of(&cluster.nodes[3..]))
    };
    for i in 0..30 {
        store.set(format!("k{i}"), i).await.unwrap();
    }
    let read = async |store: &Store| {
        join_all((0..30).map(|i| store.get(format!("k{i}")))).await.into_iter().all(|r| r.is_ok())
    };
    assert!(read(&store).await);
    assert_eq!(gets(&cluster), (30, 0));
    assert!(read(&store.eventually_consistent()).await);
    assert_eq!(gets(&cluster), (30, 30));
    // The replicas receive the writes.
    let eventual = store.eventually_consistent();
    let start = Instant::now();
    while eventual.get("k0").await.unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    // If replicas are gone, or hang, the primaries answer.
    let options = RedisOptions::new().connect_timeout(Duration::from_millis(500));
    let options = options.response_timeout(Duration::from_millis(500));
    let store = Store::new(options.open(cluster.url()).await.unwrap()).eventually_consistent();
    assert!(read(&store).await);
    cluster.nodes[3].kill();
    cluster.nodes[4].pause(true);
    assert!(read(&store).await);
    let mut batch = store.batch();
    let handles: Vec<_> = (0..30).map(|i| batch.get(format!("k{i}"))).collect();
    let mut replies = batch.exec().await.unwrap();
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(replies.take(handle).unwrap().unwrap().to::<usize>().unwrap(), i);
    }
    // A replica that hangs is not asked every time.
    let start = Instant::now();
    for i in 0..30 {
        store.get(format!("k{i}")).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    cluster.nodes[4].pause(false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_and_the_store_goes_on() {
    let mut cluster = Cluster::start(3, 3);
    let options = RedisOptions::new().connect_timeout(Duration::from_secs(1));
    let redis = options.response_timeout(Duration::from_secs(2)).open(cluster.url()).await;
    let store = Store::new(redis.unwrap());
    store.set("{foo}", "x").await.unwrap();
    cluster.nodes[2].kill();
    let start = Instant::now();
    loop {
        match store.set("{foo}", "y").await {
            Ok(()) => break,
            Err(e) => {
                let kind = e.kind();
                assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout), "{e:?}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no replica takes over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.get("{foo}").await.unwrap().unwrap(), "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_answers_is_enough_to_start_with() {
    let cluster = Cluster::start(3, 0);
    let closed = support::process::free_port();
    let url = format!("redis+cluster://127.0.0.1:{closed},{}", cluster.nodes[1].address());
    let store = Store::open(&url).await.unwrap();
    for i in 0..20 {
        store.set(format!("k{i}"), i).await.unwrap();
    }
    let none = Store::open(format!("redis+cluster://127.0.0.1:{closed}")).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_cluster_is_told_apart() {
    let url = support::redis::database().replace("redis://", "redis+cluster://");
    let url = url.rsplit_once('/').unwrap().0;
    let error = Store::open(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:?}");
    assert!(error.to_string().contains("`redis://`"), "{error}");
}

/// A deadline that no `Instant` can represent.
#[tokio::test]
async fn a_timeout_of_any_length_is_taken() {
    let cluster = Cluster::start(1, 0);
    let options = RedisOptions::new().response_timeout(Duration::MAX);
    let store = Store::new(options.open(cluster.url()).await.unwrap());
    store.set("k", "v").await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
}
