//! I/O errors: calls report them, nothing hangs, and the store recovers without a restart.

use super::faulty_disk::{Call, Fault, FaultyDisk};
use super::{filler, open, open_with};
use crate::backend::{Embedded, EmbeddedOptions};
use crate::{Error, ErrorKind, Store};
use futures_util::future::join_all;
use std::io;

const FULL: Fault = Fault::Error(io::ErrorKind::StorageFull);
const BROKEN: Fault = Fault::Error(io::ErrorKind::Other);

fn value(n: u64) -> Vec<u8> {
    filler(n, 3_000)
}

/// Sets the keys concurrently. Returns the errors by key.
async fn set(store: &Store<Embedded>, keys: std::ops::Range<u64>) -> Vec<(u64, Error)> {
    let calls = keys.map(async |n| (n, store.set(format!("k{n}"), value(n)).await));
    let answered = join_all(calls).await;
    answered.into_iter().filter_map(|(n, result)| Some((n, result.err()?))).collect()
}

async fn assert_there(store: &Store<Embedded>, keys: std::ops::Range<u64>) {
    for n in keys {
        let found = store.get(format!("k{n}")).await.unwrap();
        assert!(found.is_some_and(|v| v == value(n)), "{n} was answered, and is not there");
    }
}

/// Reads keys that were written: each has its value, or an error that is allowed.
async fn read_meanwhile(store: &Store<Embedded>, allowed: &[ErrorKind]) {
    for n in 0..20 {
        match store.get(format!("k{n}")).await {
            Ok(found) => assert!(found.is_some_and(|v| v == value(n)), "{n} is wrong"),
            Err(e) => assert!(allowed.contains(&e.kind()), "{e:?}"),
        }
    }
}

/// A failed write is applied as a whole or not at all.
async fn assert_whole(store: &Store<Embedded>, failed: &[(u64, Error)]) {
    for (n, e) in failed {
        let found = store.get(format!("k{n}")).await.unwrap();
        assert!(found.as_ref().is_none_or(|v| *v == value(*n)), "{n} is there in part");
        assert!(found.is_none() || e.outcome_is_unknown(), "{n} was said not to be written: {e:?}");
    }
}

async fn outlive(calls: &[Call], fault: Fault, allowed: &[ErrorKind]) {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    assert!(set(&store, 0..20).await.is_empty());
    disk.fail(calls, fault);
    // Enough data to extend the file.
    let mut failed = set(&store, 20..700).await;
    failed.extend(set(&store, 700..720).await);
    assert!(!failed.is_empty(), "{calls:?} never failed");
    for (n, e) in &failed {
        assert!(allowed.contains(&e.kind()), "{calls:?}, {n}: {e:?}");
    }
    read_meanwhile(&store, allowed).await;
    disk.heal();
    assert!(set(&store, 1_000..1_020).await.is_empty(), "{calls:?} works again");
    assert_there(&store, 0..20).await;
    assert_there(&store, 1_000..1_020).await;
    assert_whole(&store, &failed).await;
    let stays = (20..720).filter(|n| failed.iter().all(|(failed, _)| failed != n));
    for n in stays {
        assert_there(&store, n..n + 1).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_outlived() {
    outlive(&[Call::Write, Call::SetLen], FULL, &[ErrorKind::Unavailable]).await;
    outlive(&[Call::SetLen], FULL, &[ErrorKind::Unavailable]).await;
    outlive(&[Call::Sync], FULL, &[ErrorKind::Unavailable]).await;
}

#[tokio::test]
async fn a_disk_that_fails_in_any_call_is_told_and_outlived() {
    use Call::*;
    for calls in [&[Write][..], &[Sync], &[SetLen], &[Write, Sync], &[Read, Write, SetLen, Sync]] {
        outlive(calls, BROKEN, &[ErrorKind::Unavailable]).await;
    }
}

/// A panic below redb poisons its locks, so closing it panics as well. The store opens a new
/// database.
#[tokio::test]
async fn a_storage_that_panics_is_told_and_outlived() {
    let allowed = [ErrorKind::Unavailable, ErrorKind::Corrupt];
    for call in [Call::Write, Call::Sync, Call::SetLen] {
        outlive(&[call], Fault::Panic, &allowed).await;
    }
}

#[tokio::test]
async fn a_commit_that_fails_halfway_has_an_unknown_outcome() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    disk.fail(&[Call::Sync], BROKEN);
    let error = store.set("k", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.outcome_is_unknown(), "{error}");
    // The file is not open, so the write is known not to be applied.
    let error = store.set("k2", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.outcome_is_unknown(), "{error}");
    disk.heal();
    assert_eq!(store.get("k2").await.unwrap(), None);
}

/// Only a writer used to notice that the file had to be reopened. A store without writers failed
/// for ever after one I/O error.
#[tokio::test]
async fn a_store_that_is_only_read_recovers_too() {
    let disk = FaultyDisk::default();
    // No cache: every read is I/O.
    let store = open_with(&disk, EmbeddedOptions::default().cache(0)).await.unwrap();
    assert!(set(&store, 0..20).await.is_empty());
    disk.fail(&[Call::Read], BROKEN);
    for n in 0..20 {
        let error = store.get(format!("k{n}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    disk.heal();
    assert_there(&store, 0..20).await;
}

/// The same after a write has failed and reopening has failed at first.
#[tokio::test]
async fn a_store_that_nobody_writes_to_any_more_recovers_too() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    assert!(set(&store, 0..20).await.is_empty());
    disk.fail(&[Call::Read, Call::Write, Call::Sync], BROKEN);
    assert_eq!(set(&store, 20..21).await.len(), 1);
    let error = store.get("k1").await.unwrap_err();
    assert!(!error.to_string().contains("closed"), "the store was not closed: {error}");
    disk.heal();
    assert_there(&store, 0..20).await;
}

/// An atomic write of two keys in different pages.
async fn set_both(store: &Store<Embedded>, n: u64, value: u64) -> crate::Result<()> {
    let mut tx = store.atomic_write();
    tx.set(format!("a{n}"), value);
    tx.set(format!("z{n}"), value);
    tx.exec().await.map(|outcome| assert!(outcome.is_committed()))
}

/// redb stops in the middle of a write. The part that had been applied used to be committed.
#[tokio::test]
async fn a_panic_in_the_middle_of_a_write_leaves_nothing_by_half() {
    let disk = FaultyDisk::default();
    // No cache: every page is read again.
    let store = open_with(&disk, EmbeddedOptions::default().cache(0)).await.unwrap();
    assert!(set(&store, 0..200).await.is_empty());
    let mut hit = 0;
    for spared in 0..60 {
        let value = spared + 1;
        disk.fail_once(spared, Call::Read, Fault::Panic);
        let answers = join_all((0..10).map(|n| set_both(&store, n, value))).await;
        disk.heal();
        hit += answers.iter().filter(|answer| answer.is_err()).count();
        for (n, answer) in answers.iter().enumerate() {
            let a = store.get(format!("a{n}")).await.unwrap();
            assert_eq!(a, store.get(format!("z{n}")).await.unwrap(), "{n} is torn, after {spared}");
            let there = a.is_some_and(|a| a == value.to_string());
            assert!(there || answer.is_err(), "{n} was answered, after {spared}");
        }
    }
    assert!(hit > 100, "only {hit} writes met a panic");
    assert_there(&store, 0..200).await;
}
