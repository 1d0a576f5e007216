//! No I/O on a caller's thread, and no read waits for a write.

use super::faulty_disk::FaultyDisk;
use super::{Embedded, engine, filler, open, open_with, pending};
use crate::Store;
use crate::backend::EmbeddedOptions;
use futures_util::FutureExt;
use std::thread::current;

/// Calls every operation: single, in batches, and in atomic writes.
async fn use_all(store: &Store<Embedded>, n: u64) {
    let key = |kind: &str| format!("{kind}{}", n % 20);
    store.set(key("s"), filler(n, (n * 977 % 20_000) as usize)).await.unwrap();
    store.set_nx(key("s"), "v").await.unwrap();
    store.set_eq(key("s"), "v", "w").await.unwrap();
    store.get(key("s")).await.unwrap();
    store.incr_by(key("c"), 1).await.unwrap();
    store.sadd(key("m"), [n, n + 1]).await.unwrap();
    store.srem(key("m"), [n]).await.unwrap();
    store.smembers(key("m")).await.unwrap();
    store.hset(key("h"), [(n, n)]).await.unwrap();
    store.hget(key("h"), n).await.unwrap();
    store.hgetall(key("h")).await.unwrap();
    store.zadd(key("z"), n, n as f64).await.unwrap();
    store.zhadd(key("z"), n + 1, filler(n, 300), n as f64).await.unwrap();
    store.zincr_by(key("z"), n, 1.0).await.unwrap();
    store.zscore(key("z"), n).await.unwrap();
    store.zhget(key("z"), n + 1).await.unwrap();
    store.zcount(key("z"), ..).await.unwrap();
    store.zrange(key("z")).by_score(..).limit(3).await.unwrap();
    store.zhrange(key("z")).by_score(..).rev().await.unwrap();
    store.delete(format!("s{}", (n + 7) % 20)).await.unwrap();
    let mut batch = store.batch();
    batch.get(key("s"));
    batch.set(key("b"), n);
    batch.get(key("b"));
    batch.exec().await.unwrap();
    let mut batch = store.batch();
    batch.get(key("s"));
    batch.hget(key("h"), n);
    batch.exec().await.unwrap();
    let mut tx = store.atomic_write();
    tx.set(key("t"), n);
    tx.set_nx(key("t2"), n);
    let _ = tx.exec().await.unwrap();
}

#[tokio::test]
async fn no_storage_is_ever_used_on_a_callers_thread() {
    for cache in [256 << 20, 1 << 20, 64 << 10, 0] {
        let disk = FaultyDisk::default();
        // The second time the file has to be read.
        for _ in 0..2 {
            let options = EmbeddedOptions::default().cache(cache);
            let store = open_with(&disk, options).await.unwrap();
            for n in 0..100 {
                use_all(&store, n).await;
            }
            assert!(!disk.callers().is_empty(), "the threads of the engine are not seen");
            drop(store);
        }
        assert!(disk.reads() > 0, "nothing was read");
        assert!(!disk.callers().contains(&current().id()), "with a cache of {cache}");
    }
}

/// Sets and deletes strings of up to 300 KiB, at most `most` bytes in all, and reads in between.
async fn churn(store: &Store<Embedded>, rounds: u64, most: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lens = vec![0usize; 200];
    for at in 0..lens.len() {
        store.delete(format!("k{at}")).await.unwrap();
    }
    for n in 0..rounds {
        let at = random.usize(..lens.len());
        let longest = if random.u8(..10) == 0 { 300 << 10 } else { 8 << 10 };
        let len = random.usize(..longest);
        if lens.iter().sum::<usize>() + len < most && random.u8(..5) > 0 {
            store.set(format!("k{at}"), filler(n, len)).await.unwrap();
            lens[at] = len;
        } else {
            store.delete(format!("k{at}")).await.unwrap();
            lens[at] = 0;
        }
        for _ in 0..3 {
            let at = random.usize(..lens.len());
            let found = store.get(format!("k{at}")).await.unwrap();
            assert_eq!(found.map_or(0, |v| v.len()), lens[at], "k{at} in round {n}");
        }
    }
}

#[tokio::test]
async fn a_read_that_promises_not_to_wait_does_not() {
    let disk = FaultyDisk::default();
    let cache = 24 << 20;
    let store = open_with(&disk, EmbeddedOptions::default().cache(cache)).await.unwrap();
    churn(&store, 3_000, 4 << 20, 1).await;
    let stats = engine(&store).stats();
    let max_len = stats.max_len();
    assert!(max_len > cache as u64 / 8, "the file is too small for this test: {max_len}");
    assert!(max_len <= cache as u64 / 2, "the file is too large for this test: {max_len}");
    assert_eq!(stats.unexpected_reads(), 0);
}

/// Verification empties redb's cache.
#[tokio::test]
async fn nor_after_the_file_was_opened_again() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    churn(&store, 500, 4 << 20, 2).await;
    store.backend().close().await.unwrap();
    let store = open(&disk).await.unwrap();
    for n in 0..200 {
        store.get(format!("k{n}")).await.unwrap();
    }
    assert_eq!(engine(&store).stats().unexpected_reads(), 0);
}

/// Pages that were evicted while the file was large are still missing after it has shrunk.
#[tokio::test]
async fn nor_after_the_file_was_larger_than_the_cache() {
    let disk = FaultyDisk::default();
    let store = open_with(&disk, EmbeddedOptions::default().cache(8 << 20)).await.unwrap();
    churn(&store, 300, 1 << 20, 3).await;
    for n in 0..100 {
        store.set(format!("large{n}"), filler(n, 300 << 10)).await.unwrap();
    }
    assert!(disk.image().len() > 8 << 20, "the file is larger than the cache");
    for n in 0..100 {
        store.delete(format!("large{n}")).await.unwrap();
    }
    for n in 0..20u64 {
        store.set("nothing much", n).await.unwrap();
    }
    for n in 0..200 {
        store.get(format!("k{n}")).await.unwrap();
    }
    assert!(disk.image().len() < 4 << 20, "the file is small again: {}", disk.image().len());
    assert_eq!(engine(&store).stats().unexpected_reads(), 0);
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_commit_and_sees_the_state_before_it() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    store.set("k", "old").await.unwrap();
    store.sadd("set", ["old"]).await.unwrap();
    let held = disk.hold();
    let mut tx = store.atomic_write();
    tx.set("k", "new");
    tx.sadd("set", ["new"]);
    let write = pending(tx.exec());
    held.wait();
    let short = store.get("k").now_or_never().expect("it is answered on the spot");
    assert_eq!(short.unwrap().unwrap(), "old");
    assert_eq!(store.smembers("set").await.unwrap(), ["old"]);
    drop(held);
    assert!(write.await.unwrap().is_committed());
    assert_eq!(store.get("k").await.unwrap().unwrap(), "new");
    assert_eq!(store.smembers("set").await.unwrap().len(), 2);
}
