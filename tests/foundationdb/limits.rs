//! The limits of a transaction: splitting, paging, `TooLarge`.

use super::store;
use keyvaluestore::{ErrorKind, Limits};
use std::time::{Duration, Instant};

#[tokio::test]
async fn values_to_the_portable_limit_work_in_every_place() {
    let store = store().await;
    let value: Vec<u8> = (0..390 * 1024).map(|i| (i * 7 % 251) as u8).collect();
    store.set("string", &value).await.unwrap();
    store.hset("hash", [("f", &value)]).await.unwrap();
    store.zhadd("sorted", "f", &value, 1.0).await.unwrap();
    assert_eq!(store.get("string").await.unwrap().unwrap(), value);
    assert_eq!(store.hget("hash", "f").await.unwrap().unwrap(), value);
    assert_eq!(store.zhget("sorted", "f").await.unwrap().unwrap(), value);
    assert_eq!(store.zhrange("sorted").await.unwrap(), [&value[..]]);
    assert!(store.set_eq("string", "short", &value).await.unwrap());
    assert_eq!(store.get("string").await.unwrap().unwrap(), "short");
}

#[tokio::test]
async fn what_is_too_large_for_a_transaction_is_told_once_and_changes_nothing() {
    let store = store().await.with_limits(Limits::NONE);
    store.set("k", "before").await.unwrap();
    store.sadd("set", ["before"]).await.unwrap();
    let start = Instant::now();
    let error = store.set("k", vec![0; 12_000_000]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(!error.outcome_is_unknown() && !error.is_retryable());
    let members = (0..20_000).map(|i| format!("{i:01000}"));
    let error = store.sadd("set", members).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    let error = store.get(vec![1; 9_000]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "it is not tried again and again");
    assert_eq!(store.get("k").await.unwrap().unwrap(), "before");
    assert_eq!(store.smembers("set").await.unwrap(), ["before"]);
}

#[tokio::test]
async fn a_batch_larger_than_a_transaction_is_cut() {
    let store = store().await;
    let value = vec![b'v'; 300_000];
    let mut batch = store.batch();
    for i in 0..60 {
        batch.set(format!("k{i}"), &value);
    }
    batch.exec().await.unwrap();
    let mut batch = store.batch();
    let gets: Vec<_> = (0..60).map(|i| batch.get(format!("k{i}"))).collect();
    let mut replies = batch.exec().await.unwrap();
    for get in gets {
        assert_eq!(replies.take(get).unwrap().unwrap(), value);
    }
}

#[tokio::test]
async fn long_ranges_come_in_pages() {
    const MEMBERS: u64 = 20_000;
    let store = store().await;
    for start in (0..MEMBERS).step_by(2_000) {
        let mut batch = store.batch();
        for i in start..start + 2_000 {
            batch.zhadd("z", format!("{i:06}"), format!("value {i}"), i as f64);
        }
        batch.exec().await.unwrap();
    }
    assert_eq!(store.zcount("z", ..).await.unwrap(), MEMBERS);
    assert_eq!(store.zcount("z", 10.0..=15_000.0).await.unwrap(), 14_991);
    assert_eq!(store.zlexcount("z", "000010".."015000").await.unwrap(), 14_990);
    let values = store.zhrange("z").await.unwrap();
    assert_eq!(values.len() as u64, MEMBERS);
    assert_eq!(values[12_345], "value 12345");
    let last = store.zrange("z").rev().limit(15_000).await.unwrap();
    assert_eq!((last.len(), &last[14_999]), (15_000, &"005000".into()));
    assert!(store.delete("z").await.unwrap());
    assert_eq!(store.zcount("z", ..).await.unwrap(), 0);
}

/// Large in every way: long names, many names, names full of zero bytes, names that are only read.
#[tokio::test]
async fn a_batch_of_any_size_is_cut_as_it_has_to_be() {
    let store = store().await;
    for filler in [b'x', 0] {
        let name = |len: usize, i: usize| {
            let mut name = vec![filler; len - 6];
            name.extend(format!("{i:06}").bytes());
            name
        };
        let key = name(2_048, 0);
        let mut batch = store.batch();
        for i in 0..600 {
            batch.set(name(2_048, i), "v");
            batch.sadd([&key[..2_047], b"s"].concat(), [name(1_016, i)]);
            batch.srem([&key[..2_047], b"r"].concat(), [name(1_016, i)]);
            batch.hset([&key[..2_047], b"h"].concat(), [(name(1_016, i), "v")]);
            batch.zhadd([&key[..2_047], b"z"].concat(), name(1_016, i), "v", 1.0);
            batch.zincr_by([&key[..2_047], b"i"].concat(), name(1_016, i), 1.0);
        }
        drop(batch.exec().await.unwrap());
    }
    let mut batch = store.batch();
    for i in 0..2_000 {
        batch.get(format!("{i:02000}"));
    }
    batch.set("k", "v");
    drop(batch.exec().await.unwrap());
    let mut batch = store.batch();
    for i in 0..50_000 {
        batch.sadd("tags", [format!("member {i}")]);
        batch.get(format!("user {i}"));
    }
    drop(batch.exec().await.unwrap());
    assert_eq!(store.smembers("tags").await.unwrap().len(), 50_000);
}
