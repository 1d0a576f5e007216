//! Concurrent writers: no lost updates, no double counts, and no conflicts that callers see.

use super::{store, support};
use keyvaluestore::observe::Observer;
use keyvaluestore::{ErrorKind, FoundationDb, Result, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

#[derive(Debug, Default)]
struct Retries(AtomicU64);

impl Observer for Retries {
    fn on_retry(&self, _: Option<&'static str>, _: ErrorKind) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Calls from 16 tasks at once. Returns the number of retries.
async fn sixteen<F>(store: &Store, call: impl Fn(Store, usize) -> F) -> u64
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let retries = Arc::new(Retries::default());
    let watched = store.with_observer(retries.clone());
    let tasks: Vec<_> = (0..16).map(|i| tokio::spawn(call(watched.clone(), i))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    retries.0.load(SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_on_one_counter_and_one_member_end_exact() {
    let store = store().await;
    let retries = sixteen(&store, async |s, _| {
        for _ in 0..10 {
            s.incr_by("n", 1).await?;
            s.zincr_by("z", "m", 1.0).await?;
        }
        Ok(())
    })
    .await;
    assert_eq!(store.get("n").await.unwrap().unwrap(), "160");
    assert_eq!(store.zscore("z", "m").await.unwrap(), Some(160.0));
    assert!(retries > 0, "they got in each other's way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_in_atomic_writes_do_not_conflict() {
    let store = store().await;
    store.set("n", "-5").await.unwrap();
    let retries = sixteen(&store, async |s, i| {
        for j in 0..10 {
            let mut tx = s.atomic_write();
            tx.incr_by("n", 1);
            tx.set(format!("{i}.{j}"), "v");
            assert!(tx.exec().await?.is_committed());
        }
        Ok(())
    })
    .await;
    assert_eq!(retries, 0);
    assert_eq!(store.get("n").await.unwrap().unwrap(), "155");
    assert_eq!(store.incr_by("n", 1).await.unwrap(), 156);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_becomes_a_word_meanwhile_is_not_added_to() {
    let store = store().await;
    let task = sixteen(&store, async |s, i| {
        for _ in 0..20 {
            if i == 0 {
                s.set("n", "a word").await?;
                s.delete("n").await?;
                continue;
            }
            let mut tx = s.atomic_write();
            tx.incr_by("n", 1);
            match tx.exec().await {
                Err(e) if e.kind() != ErrorKind::WrongType => return Err(e),
                _ => {}
            }
            // A number or the word, never a mixture.
            let value = s.get("n").await?;
            let fits =
                |v: &keyvaluestore::Value| v == "a word" || v.as_canonical_integer().is_some();
            assert!(value.as_ref().is_none_or(fits), "{value:?}");
        }
        Ok(())
    });
    task.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_different_members_never_conflict() {
    let store = store().await;
    let retries = sixteen(&store, async |s, i| {
        for j in 0..5 {
            let name = format!("{i}.{j}");
            s.sadd("set", [&name]).await?;
            s.hset("hash", [(&name, "v")]).await?;
            s.zadd("sorted", &name, 1.0).await?;
            s.zhadd("sorted hash", &name, vec![b'v'; 5_000], 1.0).await?;
        }
        Ok(())
    })
    .await;
    assert_eq!(retries, 0);
    assert_eq!(store.smembers("set").await.unwrap().len(), 80);
    assert_eq!(store.hgetall("hash").await.unwrap().len(), 80);
    assert_eq!(store.zcount("sorted", ..).await.unwrap(), 80);
    assert_eq!(store.zhrange("sorted hash").await.unwrap().len(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_without_end_is_told() {
    // No retries: the first conflict is returned.
    let options = keyvaluestore::backend::FoundationDbOptions::new().max_attempts(1);
    let cluster = FoundationDb::open(support::foundationdb::subspace()).await.unwrap();
    let store = Store::new(cluster.with_options(options));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let s = store.clone();
            tokio::spawn(async move { s.incr_by("n", 1).await })
        })
        .collect();
    let mut counted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => counted += 1,
            Err(e) => {
                assert_eq!((e.kind(), e.outcome_is_unknown()), (ErrorKind::Conflict, false));
                assert!(e.is_retryable());
            }
        }
    }
    assert_eq!(store.get("n").await.unwrap().unwrap(), i32::to_string(&counted));
}
