//! Lost values of sorted hashes: the value hash was evicted, has expired, was deleted or was left
//! behind. No read returns the field instead of a lost value.

use crate::support::redis::Server;
use crate::{Admin, assert_kind, open};
use keyvaluestore::backend::RedisOptions;
use keyvaluestore::{ErrorKind, Result, Store};

/// Once, on a server with `maxmemory` and `allkeys-lru`, `zhget` returned the field of every sorted
/// hash whose value hash had been evicted.
#[tokio::test]
async fn after_an_eviction_no_field_is_answered_in_place_of_its_value() {
    const KEYS: usize = 4_000;
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let limit = admin.info("memory", "used_memory") + (3 << 20);
    admin.done(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let value = |i: usize| format!("{i:01000}");
    for i in 0..KEYS {
        store.zhadd(format!("k{i}"), "field", value(i), 1.0).await.unwrap();
    }
    let (mut found, mut lost) = (0, 0);
    for i in 0..KEYS {
        let key = format!("k{i}");
        let range = store.zhrange(&key).await;
        match store.zhget(&key, "field").await {
            Ok(None) => assert_eq!(range.unwrap(), [""; 0]),
            Ok(Some(read)) => {
                assert_eq!(read, value(i));
                assert_eq!(range.unwrap(), [value(i)]);
                found += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                assert!(error.to_string().contains("evict"), "{error}");
                assert_kind(range, ErrorKind::Corrupt);
                assert_eq!(store.zrange(&key).await.unwrap(), ["field"]);
                lost += 1;
            }
        }
    }
    assert!(found > 100 && lost > 100, "{found} found, {lost} lost");
}

/// Every operation that reads values.
async fn values(store: &Store, key: &str) -> Vec<Result<String>> {
    let mut batch = store.batch();
    let get = batch.zhget(key, "f");
    let range = batch.zhrange(key).limit(10).queue();
    let scored = batch.zhrange(key).with_scores().queue();
    let mut replies = batch.exec_each().await;
    vec![
        store.zhget(key, "f").await.map(|found| format!("{found:?}")),
        store.zhrange(key).await.map(|found| format!("{found:?}")),
        store.zhrange(key).rev().limit(5).await.map(|found| format!("{found:?}")),
        store.zhrange(key).by_lex(..).with_scores().await.map(|found| format!("{found:?}")),
        replies.take(get).map(|found| format!("{found:?}")),
        replies.take(range).map(|found| format!("{found:?}")),
        replies.take(scored).map(|found| format!("{found:?}")),
    ]
}

/// Loses the values of `k`, and returns the key of the sorted set.
type Lose = fn(&mut Admin) -> &'static str;

const LOSSES: [(&str, Lose); 4] = [
    ("deleted", |admin| {
        admin.done(&["DEL", "__kvs_zh:k"]);
        "k"
    }),
    ("expired", |admin| {
        admin.done(&["PEXPIRE", "__kvs_zh:k", "1"]);
        std::thread::sleep(std::time::Duration::from_millis(20));
        "k"
    }),
    ("renamed", |admin| {
        admin.done(&["RENAME", "k", "other"]);
        "other"
    }),
    ("restored in part", |admin| {
        let dump: Vec<u8> = admin.run(&["DUMP", "k"]);
        admin.done(&["FLUSHALL"]);
        redis::cmd("RESTORE").arg("k").arg(0).arg(dump).exec(&mut admin.0).unwrap();
        "k"
    }),
];

#[tokio::test]
async fn whatever_loses_the_values_alone_is_corrupt_until_they_are_written_again() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for members in [2, 3_000] {
        for (what, lose) in LOSSES {
            admin.done(&["FLUSHALL"]);
            let mut batch = store.batch();
            batch.zhadd("k", "f", "value", 1.0);
            for i in 1..members {
                batch.zhadd("k", format!("g{i}"), "value", 1.0);
            }
            batch.exec().await.unwrap();
            let key = lose(&mut admin);
            for (i, answer) in values(&store, key).await.into_iter().enumerate() {
                let error = assert_kind(answer, ErrorKind::Corrupt);
                assert!(error.to_string().contains("lost"), "{what} {i}: {error}");
                assert!(!error.is_retryable());
            }
            // Reads without values work.
            assert_eq!(store.zrange(key).await.unwrap().len(), members);
            assert_eq!(store.zrange(key).by_lex(..).with_scores().await.unwrap().len(), members);
            assert_eq!(store.zscore(key, "f").await.unwrap(), Some(1.0));
            assert_eq!(store.zcount(key, ..).await.unwrap(), members as u64);

            // Writes of other members do not bring the lost values back as fields.
            store.zhadd(key, "new", "value", 2.0).await.unwrap();
            store.zadd(key, "plain", 2.0).await.unwrap();
            let mut tx = store.atomic_write();
            tx.zhadd(key, "new2", "value", 2.0);
            tx.zadd(key, "plain2", 2.0);
            tx.zincr_by(key, "plain3", 2.0);
            assert!(tx.exec().await.unwrap().is_committed());
            store.zincr_by(key, "plain4", 2.0).await.unwrap();
            store.zincr_by(key, "f", 1.0).await.unwrap();
            for (field, value) in [("new", "value"), ("plain", "plain"), ("new2", "value")] {
                assert_eq!(store.zhget(key, field).await.unwrap().unwrap(), value, "{what}");
            }
            for field in ["plain2", "plain3", "plain4"] {
                assert_eq!(store.zhget(key, field).await.unwrap().unwrap(), field, "{what}");
            }
            assert_kind(store.zhget(key, "f").await, ErrorKind::Corrupt);
            assert_kind(store.zhrange(key).await, ErrorKind::Corrupt);

            // Once they are written again or removed, nothing is lost.
            let mut batch = store.batch();
            batch.zhadd(key, "f", "again", 1.0);
            for i in 1..members {
                if i % 2 == 0 {
                    batch.zhadd(key, format!("g{i}"), "again", 1.0);
                } else {
                    batch.zrem(key, format!("g{i}"));
                }
            }
            batch.exec().await.unwrap();
            assert_eq!(store.zhget(key, "f").await.unwrap().unwrap(), "again", "{what}");
            let all = store.zhrange(key).await.unwrap();
            assert_eq!(all.len(), 6 + members - members / 2, "{what}");
            store.delete(key).await.unwrap();
            store.zadd(key, "f", 1.0).await.unwrap();
            assert_eq!(store.zhrange(key).await.unwrap(), ["f"], "{what}");
        }
    }
}

/// Whatever the state before, a member without a value is its own value, and removing all members
/// leaves no key.
#[tokio::test]
async fn a_member_without_a_value_is_its_own_whatever_came_before() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for first in 0..6 {
        for second in 0..5 {
            admin.done(&["FLUSHALL"]);
            let s = &store;
            match first {
                0 => {}
                1 => s.zadd("k", "f", 1.0).await.unwrap(),
                2 => s.zhadd("k", "f", "value", 1.0).await.unwrap(),
                3 => s.zhadd("k", "f", "f", 1.0).await.unwrap(),
                4 => {
                    // As the Go library writes one with a value, and one without.
                    admin.done(&["ZADD", "k", "1", "f", "1", "plain"]);
                    admin.done(&["HSET", "__kvs_zh:k", "f", "value"]);
                }
                _ => {
                    s.zhadd("k", "f", "value", 1.0).await.unwrap();
                    s.zadd("k", "plain", 1.0).await.unwrap();
                    s.zhrem("k", "f").await.unwrap();
                }
            }
            let mut tx = s.atomic_write();
            match second {
                0 => s.zadd("k", "f", 2.0).await.unwrap(),
                1 => tx.zadd("k", "f", 2.0),
                2 => {
                    s.zrem("k", "f").await.unwrap();
                    s.zincr_by("k", "f", 2.0).await.map(drop).unwrap();
                }
                3 => {
                    s.zrem("k", "f").await.unwrap();
                    tx.zincr_by("k", "f", 2.0);
                }
                _ => {
                    let mut batch = s.batch();
                    batch.zrem("k", "f");
                    batch.zadd_nx("k", "f", 2.0);
                    batch.exec().await.unwrap();
                }
            }
            assert!(tx.exec().await.unwrap().is_committed());
            let what = format!("{first} {second}");
            assert_eq!(s.zhget("k", "f").await.unwrap().unwrap(), "f", "{what}");
            let all = s.zhrange("k").await.unwrap();
            let expected: &[&str] = if first < 4 { &["f"] } else { &["plain", "f"] };
            assert_eq!(all, expected, "{what}");
            if second % 2 == 0 {
                s.zrem("k", "f").await.unwrap();
                s.zhrem("k", "plain").await.unwrap();
            } else {
                let mut tx = s.atomic_write();
                tx.zrem("k", "f");
                tx.zhrem("k", "plain");
                assert!(tx.exec().await.unwrap().is_committed());
            }
            assert_eq!(admin.run::<Vec<String>>(&["KEYS", "*"]), [""; 0], "{what}");
        }
    }
}

/// A sorted set that the Go library has created without any value looks like one that has lost its
/// values. `fields_as_values` says that nothing is lost.
#[tokio::test]
async fn a_sorted_set_of_another_program_without_any_value_reads_as_its_fields_if_asked_for() {
    let server = Server::start(&[]);
    let mut go = Admin::of(&server);
    go.done(&["ZADD", "k", "1", "f", "2", "g"]);
    let careful = open(&server.url()).await;
    assert_eq!(careful.zrange("k").await.unwrap(), ["f", "g"]);
    assert_kind(careful.zhrange("k").await, ErrorKind::Corrupt);
    let options = RedisOptions::new().fields_as_values(true);
    let by_url = format!("{}?fields_as_values=true", server.url());
    for store in [
        Store::new(options.open(server.url()).await.unwrap()),
        Store::new(keyvaluestore::Redis::open(by_url).await.unwrap()),
    ] {
        go.done(&["FLUSHALL"]);
        go.done(&["ZADD", "k", "1", "f", "2", "g"]);
        for answer in values(&store, "k").await {
            assert!(answer.unwrap().contains('f'));
        }
        store.zhadd("k", "new", "value", 3.0).await.unwrap();
        let mut tx = store.atomic_write();
        tx.zhadd("k", "new2", "value2", 4.0);
        assert!(tx.exec().await.unwrap().is_committed());
        assert_eq!(store.zhget("k", "g").await.unwrap().unwrap(), "g");
        assert_eq!(careful.zhget("k", "g").await.unwrap().unwrap(), "g");
    }
}

/// The empty field is the mark.
#[tokio::test]
async fn an_empty_field_is_refused_also_without_limits() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    let store = open(&server.url()).await.with_limits(keyvaluestore::Limits::NONE);
    let mut tx = store.atomic_write();
    tx.zadd("k", "", 1.0);
    let mut batch = store.batch();
    let (queued, good) = (batch.zhadd("k", "", "v", 1.0), batch.zhadd("k", "f", "v", 1.0));
    let mut replies = batch.exec_each().await;
    replies.take(good).unwrap();
    let before = admin.digest();
    for result in [
        replies.take(queued),
        tx.exec().await.map(drop),
        store.zadd("k", "", 1.0).await,
        store.zhadd("k", "", "v", 1.0).await,
        store.zrem("k", "").await,
        store.zincr_by("k", "", 1.0).await.map(drop),
        store.zhget("k", "").await.map(drop),
    ] {
        assert_kind(result, ErrorKind::InvalidArgument);
    }
    assert_eq!(admin.digest(), before);
}
