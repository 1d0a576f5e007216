//! The requests of every operation.

use super::{TABLE, client, counted, quick, store_with};
use crate::support::doubles::{Call, Double, Script};
use keyvaluestore::backend::DynamoClient;
use keyvaluestore::{DynamoDb, Outcome, Store};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a call, and asserts its requests.
macro_rules! takes {
    ($counting:ident, [$($name:literal: $n:literal),*], $call:expr) => {{
        drop($counting.take());
        let answer = $call.await.unwrap();
        let expected: &[(&str, usize)] = &[$(($name, $n)),*];
        let taken: Vec<(&str, usize)> = $counting.take().into_iter().collect();
        assert_eq!(taken, expected, "{}", stringify!($call));
        answer
    }};
}

#[tokio::test]
async fn every_operation_is_one_request_but_for_the_rare_ones() {
    let (s, c) = counted().await;
    takes!(c, ["PutItem": 1], s.set("k", "v"));
    takes!(c, ["GetItem": 1], s.get("k"));
    takes!(c, ["GetItem": 1], s.get("nothing"));
    assert!(!takes!(c, ["PutItem": 1], s.set_nx("k", "v")));
    assert!(takes!(c, ["PutItem": 1], s.set_nx("n", "1")));
    assert!(takes!(c, ["PutItem": 1], s.set_xx("k", "v")));
    assert!(!takes!(c, ["PutItem": 1], s.set_xx("nothing", "v")));
    assert!(takes!(c, ["PutItem": 1], s.set_eq("n", "2", "1")));
    assert!(!takes!(c, ["PutItem": 1], s.set_eq("n", "2", "1")));
    assert!(!takes!(c, ["PutItem": 1], s.set_eq("nothing", "2", "1")));
    assert_eq!(takes!(c, ["UpdateItem": 1], s.incr_by("c", 5)), 5);
    assert_eq!(takes!(c, ["UpdateItem": 1], s.incr_by("c", 3)), 8);
    assert!(takes!(c, ["PutItem": 1], s.set_eq("c", "x", "8")));
    assert_eq!(takes!(c, ["UpdateItem": 1], s.incr_by("m", -3)), -3);
    assert!(takes!(c, ["DeleteItem": 1], s.delete("k")));
    takes!(c, ["UpdateItem": 1], s.sadd("s", ["a", "b", "c"]));
    takes!(c, ["UpdateItem": 1], s.sadd("s", ["a"]));
    takes!(c, ["GetItem": 1], s.smembers("s"));
    takes!(c, ["UpdateItem": 1], s.srem("s", ["a"]));
    takes!(c, ["UpdateItem": 1], s.srem("nothing", ["a"]));
    takes!(c, [], s.sadd("s", [""; 0]));
    takes!(c, ["UpdateItem": 1], s.hset("h", [("f", "1"), ("g", "2")]));
    assert!(!takes!(c, ["UpdateItem": 1], s.hset_nx("h", "f", "1")));
    assert!(takes!(c, ["UpdateItem": 1], s.hset_nx("h", "i", "1")));
    takes!(c, ["GetItem": 1], s.hget("h", "f"));
    takes!(c, ["GetItem": 1], s.hgetall("h"));
    takes!(c, ["UpdateItem": 1], s.hdel("h", ["f"]));
    takes!(c, ["UpdateItem": 1], s.hdel("nothing", ["f"]));
    takes!(c, ["UpdateItem": 1], s.hset("h", (0..250).map(|i| (i, i))));
    takes!(c, ["PutItem": 1], s.zadd("z", "m", 1.0));
    assert!(!takes!(c, ["PutItem": 1], s.zadd_nx("z", "m", 1.0)));
    takes!(c, ["PutItem": 1], s.zhadd("z", "f", "v", 1.0));
    takes!(c, ["PutItem": 1], s.zadd("z", "_", 1.0));
    takes!(c, ["GetItem": 1], s.zscore("z", "m"));
    takes!(c, ["GetItem": 1], s.zhget("z", "f"));
    takes!(c, ["GetItem": 1, "PutItem": 1], s.zincr_by("z", "new", 1.0));
    takes!(c, ["GetItem": 1, "UpdateItem": 1], s.zincr_by("z", "m", 1.0));
    takes!(c, ["Query": 1], s.zcount("z", ..));
    takes!(c, ["Query": 1], s.zrange("z"));
    takes!(c, ["DeleteItem": 1], s.zrem("z", "m"));
    takes!(c, ["DeleteItem": 1], s.zrem("z", "_"));
    takes!(c, ["DeleteItem": 1], s.zrem("z", "nobody"));
}

#[tokio::test]
async fn the_rare_ones_take_one_request_more() {
    let (s, c) = counted().await;
    s.sadd("s", ["a", "b"]).await.unwrap();
    takes!(c, ["DeleteItem": 1, "UpdateItem": 1], s.srem("s", ["a", "b"]));
    s.hset("h", [("f", "1")]).await.unwrap();
    takes!(c, ["DeleteItem": 1, "UpdateItem": 1], s.hdel("h", ["f"]));
    assert!(!takes!(c, ["DeleteItem": 1, "Query": 1], s.delete("nothing")));
    let mut batch = s.batch();
    (0..30).for_each(|i| {
        let _ = batch.zadd("z", i, 0.0);
    });
    drop(batch.exec().await.unwrap());
    assert!(takes!(c, ["BatchWriteItem": 2, "DeleteItem": 1, "Query": 1], s.delete("z")));
    s.hset("h", [("f", "1")]).await.unwrap();
    assert!(takes!(c, ["PutItem": 2], s.set_xx("h", "v")));
    // The first increment replaces digits by a number.
    s.set("n", 2).await.unwrap();
    assert_eq!(takes!(c, ["PutItem": 1, "UpdateItem": 1], s.incr_by("n", 3)), 5);
    assert_eq!(takes!(c, ["UpdateItem": 1], s.incr_by("n", 3)), 8);
    // More fields than one expression can name: the hash is marked, and then put whole.
    takes!(c, ["PutItem": 1, "UpdateItem": 1], s.hset("large", (0..251).map(|i| (i, i))));
    takes!(c, ["PutItem": 1, "UpdateItem": 1], s.hset("large", (200..500).map(|i| (i, "x"))));
    assert_eq!(s.hgetall("large").await.unwrap().len(), 500);
    takes!(c, ["PutItem": 1, "UpdateItem": 1], s.hdel("large", 0..499));
    assert_eq!(s.hget("large", 499).await.unwrap().unwrap(), "x");
    takes!(c, ["DeleteItem": 1, "UpdateItem": 1], s.hdel("large", 0..500));
    assert!(!s.delete("large").await.unwrap());
}

#[tokio::test]
async fn a_wrong_type_and_an_overflow_are_told_in_one_request() {
    let (s, c) = counted().await;
    s.set("text", "x").await.unwrap();
    s.set("max", i64::MAX).await.unwrap();
    drop(c.take());
    s.incr_by("text", 1).await.unwrap_err();
    s.incr_by("max", 1).await.unwrap_err();
    s.sadd("text", ["a"]).await.unwrap_err();
    s.hset("text", [("f", "v")]).await.unwrap_err();
    assert_eq!(c.total(), 4);
}

#[tokio::test]
async fn a_range_reads_its_own_pages_alone() {
    let (s, c) = counted().await;
    let mut batch = s.batch();
    for i in 0..1_100 {
        batch.zhadd("z", format!("{i:04}"), [b'v'; 1_000], f64::from(i));
        batch.zhadd("lex", format!("{i:04}"), [b'v'; 1_000], 0.0);
    }
    drop(batch.exec().await.unwrap());
    assert_eq!(takes!(c, ["Query": 1], s.zcount("z", 500.0..510.0)), 10);
    assert_eq!(takes!(c, ["Query": 1], s.zcount("z", (Excluded(500.0), Excluded(510.0)))), 9);
    let bounds = (Excluded("0300"), Excluded("0500"));
    assert_eq!(takes!(c, ["Query": 1], s.zlexcount("lex", bounds)), 199);
    assert_eq!(
        takes!(c, ["Query": 1], s.zlexcount("lex", (Included("0300"), Included("0510")))),
        211
    );
    let range = takes!(c, ["Query": 1], s.zrange("lex").by_lex(bounds).limit(10));
    assert_eq!((range.len(), &range[0]), (10, &"0301".into()));
    let range = takes!(c, ["Query": 1], s.zrange("lex").by_lex(bounds).limit(10).rev());
    assert_eq!(range[0], "0499");
    assert_eq!(takes!(c, ["Query": 1], s.zhrange("z").rev().limit(3)).len(), 3);
    // 1.1 MB in pages of 1 MB.
    assert_eq!(takes!(c, ["Query": 2], s.zhrange("z")).len(), 1_100);
    assert_eq!(takes!(c, [], s.zrange("z").limit(0)).len(), 0);
    assert_eq!(takes!(c, [], s.zcount("z", 2.0..1.0)), 0);
    assert_eq!(takes!(c, [], s.zlexcount("lex", "b".."a")), 0);
}

#[tokio::test]
async fn batches_are_cut_into_groups() {
    let (s, c) = counted().await;
    let mut batch = s.batch();
    (0..100).for_each(|i| {
        let _ = batch.set(i.to_string(), i);
    });
    takes!(c, ["BatchWriteItem": 4], batch.exec());
    let mut batch = s.batch();
    let gets: Vec<_> = (0..250).map(|i| batch.get(i.to_string())).collect();
    let mut replies = takes!(c, ["BatchGetItem": 3], batch.exec());
    for (i, get) in gets.into_iter().enumerate() {
        let expected = (i < 100).then(|| i.to_string().as_str().into());
        assert_eq!(replies.take(get).unwrap(), expected);
    }
    // Several reads of one item request it once.
    let mut batch = s.batch();
    (0..300).for_each(|i| {
        let _ = batch.get((i % 50).to_string());
    });
    takes!(c, ["BatchGetItem": 1], batch.exec());
    // All kinds of operations: some are grouped, the others are single requests.
    let mut batch = s.batch();
    batch.get("1");
    batch.hgetall("h");
    batch.zscore("z", "m");
    batch.smembers("s");
    batch.set("a", "v");
    batch.zadd("y", "m", 1.0);
    batch.zrem("y", "n");
    batch.sadd("t", ["a"]);
    batch.hset("g", [("f", "v")]);
    batch.zrange("z").queue();
    let requests = [("BatchGetItem", 1), ("BatchWriteItem", 1), ("Query", 1), ("UpdateItem", 2)];
    drop(c.take());
    drop(batch.exec().await.unwrap());
    assert_eq!(c.take().into_iter().collect::<Vec<_>>(), requests);
    // A group of one is a single request.
    let mut batch = s.batch();
    batch.get("1");
    batch.set("b", "v");
    takes!(c, ["GetItem": 1, "PutItem": 1], batch.exec());
    takes!(c, [], s.batch().exec());
}

#[tokio::test]
async fn an_atomic_write_is_one_request() {
    let (s, c) = counted().await;
    let mut tx = s.atomic_write();
    (0..100).for_each(|i| {
        let _ = tx.set_nx(i.to_string(), i);
    });
    assert_eq!(takes!(c, ["TransactWriteItems": 1], tx.exec()), Outcome::Committed);
    let mut tx = s.atomic_write();
    (0..50).for_each(|i| {
        let _ = tx.set_nx(i.to_string(), i);
    });
    assert!(!takes!(c, ["TransactWriteItems": 1], tx.exec()).is_committed());
    let mut tx = s.atomic_write();
    tx.incr_by("n", 1);
    tx.sadd("s", ["a"]);
    tx.hset("h", [("f", "v")]);
    tx.zadd("z", "m", 1.0);
    tx.delete("2");
    assert!(takes!(c, ["TransactWriteItems": 1], tx.exec()).is_committed());
    // The first increment of digits takes a second transaction.
    for transactions in [2, 1] {
        let mut tx = s.atomic_write();
        tx.incr_by("n", 1);
        tx.incr_by("1", 1);
        let outcome = match transactions {
            2 => takes!(c, ["TransactWriteItems": 2], tx.exec()),
            _ => takes!(c, ["TransactWriteItems": 1], tx.exec()),
        };
        assert!(outcome.is_committed());
    }
    let mut tx = s.atomic_write();
    tx.zincr_by("z", "m", 1.0);
    tx.set("3", "x");
    assert!(takes!(c, ["GetItem": 1, "TransactWriteItems": 1], tx.exec()).is_committed());
    let mut tx = s.atomic_write();
    (0..9).for_each(|i| tx.zincr_by("z", i, 1.0));
    assert!(takes!(c, ["BatchGetItem": 1, "TransactWriteItems": 1], tx.exec()).is_committed());
    let mut tx = s.atomic_write();
    tx.srem("nothing", ["a"]);
    tx.set("4", "x");
    assert!(takes!(c, ["TransactWriteItems": 2], tx.exec()).is_committed());
    assert!(!s.delete("nothing").await.unwrap());
    assert!(takes!(c, [], s.atomic_write().exec()).is_committed());
}

#[tokio::test]
async fn reads_go_where_reads_go_and_what_a_write_depends_on_does_not() {
    let (reads, writes) = (Arc::new(Script::default()), Arc::new(Script::default()));
    let client = client().await;
    let double = |rules: &Arc<Script>| Double {
        api: DynamoClient::new(client.clone()),
        rules: Arc::clone(rules),
    };
    let backend = DynamoDb::with_api(double(&writes), TABLE).with_reads(double(&reads));
    let store = Store::new(backend).eventually_consistent();
    store.zadd("z", "m", 1.0).await.unwrap();
    store.zincr_by("z", "m", 1.0).await.unwrap();
    let taken = writes.take();
    assert_eq!((taken["GetItem"], taken["PutItem"], taken["UpdateItem"]), (1, 1, 1));
    assert!(reads.take().is_empty());
    store.get("k").await.unwrap();
    store.zcount("z", ..).await.unwrap();
    let mut batch = store.batch();
    let _ = (batch.get("a"), batch.get("b"), batch.set("c", "v"));
    let _ = batch.exec().await.unwrap();
    let taken = reads.take();
    assert_eq!((taken["GetItem"], taken["Query"], taken["BatchGetItem"]), (1, 1, 1));
    assert_eq!(writes.take().into_iter().collect::<Vec<_>>(), [("PutItem", 1)]);
}

/// The values of an expression have at most 2 MB.
#[tokio::test]
async fn members_that_are_not_there_are_not_sent_if_they_are_very_many() {
    let longest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&longest);
    let rules = Script::default().before(move |call| {
        if let Call::UpdateItem(input) = call {
            let values = input.get_expression_attribute_values().iter().flatten();
            let members = values.filter_map(|(_, value)| value.as_bs().ok()).flatten();
            let bytes = members.map(|member| member.as_ref().len()).sum();
            seen.fetch_max(bytes, Ordering::SeqCst);
        }
        Ok(())
    });
    let (store, _, _) = store_with(rules, quick()).await;
    store.sadd("s", 0..5_000).await.unwrap();
    let absent = (0..2_200).map(|i| format!("{i:01016}"));
    store.srem("s", absent.chain((0..100).map(|i| i.to_string()))).await.unwrap();
    assert_eq!(store.smembers("s").await.unwrap().len(), 4_900);
    assert!(longest.load(Ordering::SeqCst) < 1 << 20, "{longest:?} bytes");
}
