//! Closing a store, dropping its last clone, cancelling calls.

use super::faulty_disk::FaultyDisk;
use super::{engine, open, pending};
use crate::ErrorKind;
use futures_util::FutureExt;

#[tokio::test]
async fn close_waits_for_the_writes_under_way() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let mut writes = vec![pending(store.set("k0", "v"))];
    held.wait();
    writes.extend((1..10).map(|n| pending(store.set(format!("k{n}"), "v"))));
    let close = pending(store.backend().close());
    drop(held);
    close.await.unwrap();
    for write in writes {
        write.now_or_never().expect("close waits for it").unwrap();
    }
    let store = open(&disk).await.unwrap();
    for n in 0..10 {
        assert!(store.get(format!("k{n}")).await.unwrap().is_some(), "{n}");
    }
}

#[tokio::test]
async fn a_closed_store_refuses_everything_and_closes_again() {
    let store = open(&FaultyDisk::default()).await.unwrap();
    store.set("k", "v").await.unwrap();
    let clone = store.clone();
    store.backend().close().await.unwrap();
    clone.backend().close().await.unwrap();
    let mut batch = clone.batch();
    batch.get("k");
    batch.set("k", "w");
    let mut tx = clone.atomic_write();
    tx.set("k", "w");
    let errors = [
        clone.get("k").await.unwrap_err(),
        clone.smembers("k").await.unwrap_err(),
        clone.set("k", "w").await.unwrap_err(),
        tx.exec().await.unwrap_err(),
        batch.exec().await.unwrap_err(),
    ];
    for e in errors {
        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
        assert!(!e.is_retryable(), "it stays closed");
        assert!(!e.outcome_is_unknown() && e.to_string().contains("closed"), "{e}");
    }
}

/// Writes queued after the close used to report an unknown outcome.
#[tokio::test]
async fn a_write_that_comes_too_late_is_known_not_to_be_written() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let early = pending(store.set("early", "v"));
    held.wait();
    let close = pending(store.backend().close());
    while engine(&store).queued() == 0 {
        std::thread::yield_now();
    }
    let late = pending(store.set("late", "v"));
    let read = store.smembers("set");
    drop(held);
    let error = late.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.outcome_is_unknown(), "{error}");
    early.await.unwrap();
    close.await.unwrap();
    assert_eq!(read.await.unwrap_err().kind(), ErrorKind::Unavailable);
    let store = open(&disk).await.unwrap();
    assert!(store.get("early").await.unwrap().is_some());
    assert_eq!(store.get("late").await.unwrap(), None);
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for n in 0..5u64 {
        let file = super::Embedded::open(&path).await.unwrap();
        let (one, two) = (crate::Store::new(file.clone()), crate::Store::new(file));
        assert_eq!(one.incr_by("n", 1).await.unwrap(), n as i64 + 1);
        drop(one);
        assert!(two.get("n").await.unwrap().is_some(), "a clone is left");
        let unfinished = pending(two.incr_by("unfinished", 1));
        drop(unfinished);
        drop(two);
    }
    let store = crate::Store::new(super::Embedded::open(&path).await.unwrap());
    assert_eq!(
        store.get("unfinished").await.unwrap().unwrap(),
        "5",
        "closing finishes pending writes"
    );
}

#[tokio::test]
async fn closing_while_others_read_and_write_leaves_nobody_waiting() {
    for round in 0..20u64 {
        let disk = FaultyDisk::default();
        let store = open(&disk).await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut written = 0u64;
                    while store.incr_by(format!("n{task}"), 1).await.is_ok()
                        && store.smembers("set").await.is_ok()
                    {
                        written += 1;
                    }
                    written
                })
            })
            .collect();
        for _ in 0..round {
            store.get("n0").await.unwrap();
            tokio::task::yield_now().await;
        }
        store.backend().close().await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_caller_who_gives_up_disturbs_nobody() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let first = pending(store.set("first", "v"));
    held.wait();
    let mut writes: Vec<_> = (0..20).map(|n| pending(store.set(format!("k{n}"), "v"))).collect();
    let stays = writes.split_off(10);
    drop((first, writes));
    drop(held);
    for write in stays {
        write.await.unwrap();
    }
    for n in 10..20 {
        assert!(store.get(format!("k{n}")).await.unwrap().is_some(), "{n}");
    }
}
