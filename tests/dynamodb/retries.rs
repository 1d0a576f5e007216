//! Retries: throttling, unprocessed items, conflicts, backoff, and the timeout of a call.

use super::{assert_error, fails_with, quick, store_with};
use crate::support::doubles::Script;
use keyvaluestore::backend::{DynamoDbOptions, DynamoError};
use keyvaluestore::{ErrorKind, Handle, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn throttling_of_one_call_in_three_is_waited_out() {
    let (calls, thrown) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&thrown);
    let rules = Script::default().slow(Duration::from_millis(1)).before(move |_| {
        if !calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            return Ok(());
        }
        counter.fetch_add(1, Ordering::SeqCst);
        Err(DynamoError::service("ThrottlingException", ""))
    });
    let (store, _, recorder) = store_with(rules, quick().max_attempts(100)).await;
    let tasks = (0..8).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                store.incr_by("n", 1).await.unwrap();
                store.hset("h", [(format!("{task}-{i}"), "v")]).await.unwrap();
                store.zincr_by("z", "m", 1.0).await.unwrap();
                let mut tx = store.atomic_write();
                tx.sadd("s", [format!("{task}-{i}")]);
                tx.incr_by("t", 1);
                assert!(tx.exec().await.unwrap().is_committed());
                let mut batch = store.batch();
                batch.set(format!("k{task}"), i);
                batch.get("n");
                let _ = batch.exec().await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.get("n").await.unwrap().unwrap(), "160");
    assert_eq!(store.get("t").await.unwrap().unwrap(), "160");
    assert_eq!(store.zscore("z", "m").await.unwrap(), Some(160.0));
    assert_eq!(store.hgetall("h").await.unwrap().len(), 160);
    assert_eq!(store.smembers("s").await.unwrap().len(), 160);
    let heard = recorder.take_retries();
    let throttles = heard.iter().filter(|kind| **kind == ErrorKind::Throttled).count();
    assert_eq!(throttles, thrown.load(Ordering::SeqCst));
    assert!(heard.iter().all(|kind| matches!(kind, ErrorKind::Throttled | ErrorKind::Conflict)));
}

#[tokio::test]
async fn what_stays_unprocessed_is_an_error_for_exactly_those_operations() {
    // Every request leaves two items unprocessed.
    let rules = Script::default().processing(|of| of.saturating_sub(2));
    let (store, rules, recorder) = store_with(rules, quick().max_attempts(3)).await;
    let mut batch = store.batch();
    let sets: Vec<_> = (0..10).map(|i| batch.set(i.to_string(), i)).collect();
    let other = batch.incr_by("n", 1);
    let mut replies = batch.exec_each().await;
    assert_eq!(replies.take(other).unwrap(), 1);
    // 10 items, 8 of them processed. Then three attempts for the other 2.
    assert_eq!(rules.take()["BatchWriteItem"], 4);
    assert_eq!(recorder.take_retries(), [ErrorKind::Throttled; 3]);
    let mut lost = 0;
    for (i, set) in sets.into_iter().enumerate() {
        let there = store.get(i.to_string()).await.unwrap().is_some();
        match replies.take(set) {
            Ok(()) => assert!(there, "{i}"),
            Err(error) => {
                assert_error(&error, ErrorKind::Throttled, false);
                assert!(!there, "{i}");
                lost += 1;
            }
        }
    }
    assert_eq!(lost, 2);

    for i in 0..10 {
        store.set(i.to_string(), i).await.unwrap();
    }
    let mut batch = store.batch();
    let gets: Vec<Handle<Option<Value>>> = (0..10).map(|i| batch.get(i.to_string())).collect();
    let mut replies = batch.exec_each().await;
    let kinds: Vec<_> =
        gets.into_iter().filter_map(|get| replies.take(get).err()).map(|e| e.kind()).collect();
    assert_eq!(kinds, [ErrorKind::Throttled; 2]);
}

#[tokio::test]
async fn groups_that_are_answered_in_parts_are_read_and_written_to_the_end() {
    // The service returns at most 16 MB. Each response makes progress, so it is not counted as a
    // failed attempt.
    let rules = Script::default().processing(|of| of.min(7));
    let (store, rules, _) = store_with(rules, quick().max_attempts(2)).await;
    let mut batch = store.batch();
    (0..100).for_each(|i| {
        let _ = batch.set(i.to_string(), i);
    });
    let _ = batch.exec().await.unwrap();
    assert_eq!(rules.take()["BatchWriteItem"], 16);
    let mut batch = store.batch();
    let gets: Vec<_> = (0..100).map(|i| batch.get(i.to_string())).collect();
    let mut replies = batch.exec().await.unwrap();
    assert_eq!(rules.take()["BatchGetItem"], 15);
    for (i, get) in gets.into_iter().enumerate() {
        assert_eq!(replies.take(get).unwrap().unwrap(), i.to_string().as_str());
    }
}

#[tokio::test]
async fn a_conflict_that_does_not_pass_ends_as_one() {
    let (store, rules, recorder) = store_with(
        Script::default().before(fails_with("TransactionConflictException")),
        quick().max_attempts(4),
    )
    .await;
    assert_error(&store.set("k", "v").await.unwrap_err(), ErrorKind::Conflict, false);
    assert_eq!(rules.take()["PutItem"], 4);
    assert_eq!(recorder.take_retries(), [ErrorKind::Conflict; 3]);
    assert_error(&store.incr_by("k", 1).await.unwrap_err(), ErrorKind::Conflict, false);
    assert_eq!(rules.take()["UpdateItem"], 4);
}

#[tokio::test]
async fn a_call_ends_in_time_whatever_goes_wrong() {
    let limit = Duration::from_millis(200);
    // Unlimited attempts, and a service that always fails.
    let endless = DynamoDbOptions::new().max_attempts(u32::MAX).timeout(limit);
    let slow = endless.clone().backoff(Duration::from_millis(5), Duration::from_millis(20));
    for name in ["ThrottlingException", "TransactionConflictException"] {
        let (store, ..) =
            store_with(Script::default().before(fails_with(name)), slow.clone()).await;
        let mut batch = store.batch();
        (0..60).for_each(|i| {
            let _ = batch.set(i.to_string(), i);
            let _ = batch.zincr_by("z", i, 1.0);
        });
        let mut tx = store.atomic_write();
        tx.zincr_by("z", "m", 1.0);
        let start = Instant::now();
        let (get, set, range, tx, batch) = tokio::join!(
            store.get("k"),
            store.set("k", "v"),
            async { store.zrange("z").await },
            tx.exec(),
            batch.exec()
        );
        assert!(start.elapsed() < limit * 3, "{:?}", start.elapsed());
        let errors = [get.err(), set.err(), range.err(), tx.err(), batch.err()].map(Option::unwrap);
        for error in errors {
            assert!(error.is_retryable(), "{error}");
        }
    }
    // A service that never responds.
    let hangs = Script::default().slow(Duration::from_secs(1_000_000));
    let (store, rules, _) =
        store_with(hangs, slow.attempt_timeout(Duration::from_millis(50))).await;
    let start = Instant::now();
    assert_error(&store.set("k", "v").await.unwrap_err(), ErrorKind::Timeout, true);
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert_error(&store.get("k").await.unwrap_err(), ErrorKind::Timeout, false);
    assert!(start.elapsed() < limit * 3, "{:?}", start.elapsed());
    drop(rules);
}

#[tokio::test]
async fn one_attempt_is_one() {
    let (store, rules, recorder) = store_with(
        Script::default().before(fails_with("ThrottlingException")),
        quick().max_attempts(1),
    )
    .await;
    assert_error(&store.get("k").await.unwrap_err(), ErrorKind::Throttled, false);
    assert_error(&store.set("k", "v").await.unwrap_err(), ErrorKind::Throttled, false);
    let mut batch = store.batch();
    (0..3).for_each(|i| {
        let _ = batch.get(i.to_string());
    });
    assert_eq!(batch.exec().await.unwrap_err().kind(), ErrorKind::Throttled);
    let taken = rules.take();
    assert_eq!((taken["GetItem"], taken["PutItem"], taken["BatchGetItem"]), (1, 1, 1));
    assert_eq!(recorder.take_retries(), []);
}

#[tokio::test]
async fn pauses_of_any_length_are_taken() {
    let rules = Script::default().before(fails_with("ThrottlingException"));
    let long = DynamoDbOptions::new().backoff(Duration::MAX, Duration::MAX);
    let (store, _, _) = store_with(rules, long).await;
    for _ in 0..30 {
        assert_error(&store.set("k", "v").await.unwrap_err(), ErrorKind::Throttled, false);
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    // The last request may be applied. No task may send another one.
    let (store, rules, _) = store_with(
        Script::default().before(fails_with("ThrottlingException")),
        DynamoDbOptions::new(),
    )
    .await;
    let call = tokio::time::timeout(Duration::from_millis(5), store.set("k", "v"));
    assert!(call.await.is_err());
    rules.take();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(rules.take().is_empty());
}
