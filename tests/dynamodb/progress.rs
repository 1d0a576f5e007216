//! Slow networks and long calls: a call does not time out while it makes progress.
//!
//! Tokio's clock is paused, so the tests do not wait.

use super::{TABLE, quick, store_on};
use crate::support::doubles::{Call, Script};
use crate::support::dynamodb::{SlowLink, database, in_process, slow_client};
use keyvaluestore::backend::{DynamoDbOptions, DynamoError};
use keyvaluestore::{DynamoDb, ErrorKind, Store, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The largest value that the portable limits allow.
const LARGE: usize = 390 << 10;
/// 10 Mbit/s, in bytes.
const SLOW: f64 = 1_250_000.0;

/// A store over a slow network with the default options, and one without a network.
async fn slow() -> (Store, Store) {
    let db = database();
    let near = in_process(&db);
    DynamoDb::create_table(&near, TABLE).await.unwrap();
    let far = slow_client(&db, &SlowLink::new(SLOW));
    (Store::new(DynamoDb::new(far, TABLE)), Store::new(DynamoDb::new(near, TABLE)))
}

fn value(i: usize) -> Value {
    Value::from([&i.to_be_bytes()[..], &vec![0xa5; LARGE - 8]].concat())
}

/// 80 such values are 42 MB in base64, which take 34 s. Sent as three groups of 25 and one of 5 at
/// once, all of them timed out, and so did other calls.
#[tokio::test(start_paused = true)]
async fn a_batch_of_large_values_is_written_and_lets_others_through() {
    let (far, near) = slow().await;
    let mut batch = far.batch();
    (0..80).for_each(|i| {
        let _ = batch.set(i.to_string(), value(i));
    });
    // Also writes that are not grouped.
    (80..90).for_each(|i| {
        let _ = batch.set_nx(i.to_string(), value(i));
    });
    let start = Instant::now();
    let neighbour = tokio::spawn({
        let far = far.clone();
        async move {
            let mut longest = Duration::ZERO;
            for _ in 0..5 {
                let start = Instant::now();
                far.incr_by("n", 1).await.unwrap();
                longest = longest.max(start.elapsed());
            }
            longest
        }
    });
    let _ = batch.exec().await.unwrap();
    assert!(start.elapsed() > Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(neighbour.await.unwrap() < Duration::from_secs(2));
    for i in [0, 79, 89] {
        assert_eq!(near.get(i.to_string()).await.unwrap().unwrap(), value(i));
    }
}

/// The response to one request for 80 values has 16 MB and takes 18 s, so it timed out again and
/// again.
#[tokio::test(start_paused = true)]
async fn a_batch_of_large_values_is_read() {
    let (far, near) = slow().await;
    for i in 0..80 {
        near.set(i.to_string(), value(i)).await.unwrap();
    }
    let mut batch = far.batch();
    let gets: Vec<_> = (0..80).map(|i| batch.get(i.to_string())).collect();
    let nothing = batch.get("nothing");
    let mut replies = batch.exec().await.unwrap();
    for (i, get) in gets.into_iter().enumerate() {
        assert_eq!(replies.take(get).unwrap().unwrap(), value(i));
    }
    assert_eq!(replies.take(nothing).unwrap(), None);
}

/// A batch without progress ends at its timeout.
#[tokio::test(start_paused = true)]
async fn without_progress_a_batch_ends_when_its_time_is_over() {
    let rules = Script::default().slow(Duration::from_secs(100_000));
    let client = super::client().await;
    let store = store_on(&client, &Arc::new(rules), DynamoDbOptions::new());
    let mut batch = store.batch();
    let sets: Vec<_> = (0..1_000).map(|i| batch.set_nx(i.to_string(), "v")).collect();
    let gets: Vec<_> = (0..1_000).map(|i| batch.get(i.to_string())).collect();
    let start = Instant::now();
    let mut replies = batch.exec_each().await;
    let took = start.elapsed();
    assert!((10..=41).contains(&took.as_secs()), "{took:?}");
    for set in sets {
        let error = replies.take(set).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    for get in gets {
        assert_eq!(replies.take(get).unwrap_err().kind(), ErrorKind::Timeout);
    }
}

async fn filled(store: &Store, members: usize) {
    let mut batch = store.batch();
    (0..members).for_each(|i| {
        let _ = batch.zadd("z", format!("{i:06}"), i as f64);
    });
    drop(batch.exec().await.unwrap());
}

/// A timeout of 30 seconds left all but some 15,000 members.
#[tokio::test(start_paused = true)]
async fn a_large_sorted_set_is_deleted_however_long_it_takes() {
    // A group of 25 takes up to 4 seconds, so 3,000 members take some 16.
    let rules = Script::default().slow(Duration::from_secs(4));
    let client = super::client().await;
    filled(&Store::new(DynamoDb::new(client.clone(), TABLE)), 3_000).await;
    let options = DynamoDbOptions::new().timeout(Duration::from_secs(6));
    let store = store_on(&client, &Arc::new(rules), options);
    let start = Instant::now();
    assert!(store.delete("z").await.unwrap());
    assert!(start.elapsed() > Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(Store::new(DynamoDb::new(client, TABLE)).zcount("z", ..).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_large_range_is_read_however_long_it_takes() {
    let client = super::client().await;
    let near = Store::new(DynamoDb::new(client.clone(), TABLE));
    let mut batch = near.batch();
    (0..60).for_each(|i| {
        let _ = batch.zhadd("z", i.to_string(), vec![b'v'; 100 << 10], f64::from(i));
    });
    drop(batch.exec().await.unwrap());
    // Some seven pages.
    let rules = Script::default().slow(Duration::from_secs(4));
    let options = DynamoDbOptions::new().timeout(Duration::from_secs(5));
    let store = store_on(&client, &Arc::new(rules), options);
    let start = Instant::now();
    assert_eq!(store.zhrange("z").await.unwrap().len(), 60);
    assert_eq!(store.zcount("z", ..).await.unwrap(), 60);
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
}

/// A partition has a limited throughput. If one group is throttled in every attempt, the others are
/// deleted all the same.
#[tokio::test(start_paused = true)]
async fn a_large_sorted_set_is_deleted_though_some_of_its_groups_are_given_up() {
    let client = super::client().await;
    filled(&Store::new(DynamoDb::new(client.clone(), TABLE)), 2_000).await;
    let calls = AtomicUsize::new(0);
    let rules = Script::default().before(move |call| match call {
        Call::BatchWriteItem(_) if !calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(5) => {
            Err(DynamoError::service("ThrottlingException", ""))
        }
        _ => Ok(()),
    });
    let store = store_on(&client, &Arc::new(rules), quick().max_attempts(2));
    assert!(store.delete("z").await.unwrap());
    assert_eq!(Store::new(DynamoDb::new(client.clone(), TABLE)).zcount("z", ..).await.unwrap(), 0);

    // If no group succeeds, the call fails, and reports that some members may be deleted.
    filled(&Store::new(DynamoDb::new(client.clone(), TABLE)), 50).await;
    let rules = Script::default().before(|call| match call {
        Call::BatchWriteItem(_) => Err(DynamoError::service("ThrottlingException", "")),
        _ => Ok(()),
    });
    let store = store_on(
        &client,
        &Arc::new(rules),
        quick().max_attempts(2).timeout(Duration::from_millis(200)),
    );
    let error = store.delete("z").await.unwrap_err();
    assert!(error.is_retryable() && error.outcome_is_unknown(), "{error}");
}
