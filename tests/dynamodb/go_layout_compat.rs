//! Compatibility with the items of the Go library, in both directions, and with malformed items.

use super::{TABLE, client, quick};
use keyvaluestore::backend::aws_sdk_dynamodb::Client;
use keyvaluestore::backend::aws_sdk_dynamodb::primitives::Blob;
use keyvaluestore::backend::aws_sdk_dynamodb::types::AttributeValue;
use keyvaluestore::{DynamoDb, ErrorKind, Store, Value};
use std::collections::HashMap;

type Item = HashMap<String, AttributeValue>;

async fn place() -> (Client, Store) {
    let client = client().await;
    let store = Store::new(DynamoDb::new(client.clone(), TABLE).with_options(quick()));
    (client, store)
}

fn b(bytes: impl AsRef<[u8]>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes.as_ref()))
}
fn n(number: &str) -> AttributeValue {
    AttributeValue::N(number.into())
}
fn bs(members: &[&str]) -> AttributeValue {
    AttributeValue::Bs(members.iter().map(|member| Blob::new(*member)).collect())
}
/// The index key as the Go library writes it: score and member.
fn rk2(score: f64, member: &str) -> AttributeValue {
    let bits = score.to_bits();
    let bits = if bits & 1 << 63 != 0 { bits ^ u64::MAX } else { bits ^ 1 << 63 };
    b([&bits.to_be_bytes()[..], member.as_bytes()].concat())
}
fn item<const N: usize>(key: &str, rk: &str, attributes: [(&str, AttributeValue); N]) -> Item {
    let mut item = Item::from([("hk".into(), b(key)), ("rk".into(), b(rk))]);
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    item
}

async fn put(client: &Client, item: Item) {
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
}
async fn found(client: &Client, key: &str, rk: &str) -> Option<Item> {
    let get = client.get_item().table_name(TABLE).consistent_read(true);
    get.key("hk", b(key)).key("rk", b(rk)).send().await.unwrap().item
}

#[tokio::test]
async fn what_is_written_is_what_the_go_library_writes() {
    let (client, store) = place().await;
    store.set("text", "v").await.unwrap();
    store.set("empty", "").await.unwrap();
    store.set("number", 42).await.unwrap();
    store.set("not canonical", "042").await.unwrap();
    store.incr_by("counter", -7).await.unwrap();
    store.sadd("set", ["a", "b", "1"]).await.unwrap();
    store.hset("hash", [("f", "v"), ("", "1")]).await.unwrap();
    store.zadd("z", "m", 1.5).await.unwrap();
    store.zadd("z", "7", -2.0).await.unwrap();
    store.zhadd("zh", "f", "3", 0.0).await.unwrap();
    let mut batch = store.batch();
    let _ = (batch.set("batched", 1), batch.zhadd("zh", "g", "v", f64::INFINITY));
    let _ = batch.exec().await.unwrap();
    let mut tx = store.atomic_write();
    tx.zincr_by("z", "sum", 2.0);
    tx.hset("hash 2", [("f", "v")]);
    assert!(tx.exec().await.unwrap().is_committed());
    for expected in [
        item("text", "_", [("v", b("v"))]),
        item("empty", "_", [("v", b(""))]),
        item("number", "_", [("v", b("42"))]),
        item("not canonical", "_", [("v", b("042"))]),
        item("counter", "_", [("v", n("-7"))]),
        item("hash", "_", [("~Zg", b("v")), ("~", b("1"))]),
        item("hash 2", "_", [("~Zg", b("v"))]),
        item("z", "m", [("v", b("m")), ("rk2", rk2(1.5, "m"))]),
        item("z", "7", [("v", b("7")), ("rk2", rk2(-2.0, "7"))]),
        item("z", "sum", [("v", b("sum")), ("rk2", rk2(2.0, "sum"))]),
        item("zh", "f", [("v", b("3")), ("rk2", rk2(0.0, "f"))]),
        item("zh", "g", [("v", b("v")), ("rk2", rk2(f64::INFINITY, "g"))]),
        item("batched", "_", [("v", b("1"))]),
    ] {
        let text = |name: &str| {
            let bytes = expected[name].as_b().unwrap().as_ref();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let (key, rk) = (text("hk"), text("rk"));
        assert_eq!(found(&client, &key, &rk).await.as_ref(), Some(&expected));
    }
    let set = found(&client, "set", "_").await.unwrap();
    let mut members: Vec<_> = set["v"].as_bs().unwrap().iter().map(AsRef::as_ref).collect();
    members.sort_unstable();
    assert_eq!((members, set.len()), (vec![&b"1"[..], b"a", b"b"], 3));

    // A hash from which a field was removed has a mark until a field is added.
    store.hdel("hash", ["f"]).await.unwrap();
    let marked = found(&client, "hash", "_").await.unwrap();
    assert!(marked.contains_key("t") && !marked.contains_key("~Zg"));
    store.hset("hash", [("f", "v")]).await.unwrap();
    let hash = item("hash", "_", [("~Zg", b("v")), ("~", b("1"))]);
    assert_eq!(found(&client, "hash", "_").await, Some(hash));
    // An emptied item is deleted.
    store.hdel("hash", ["f", ""]).await.unwrap();
    store.srem("set", ["a", "b", "1"]).await.unwrap();
    assert_eq!(found(&client, "hash", "_").await, None);
    assert_eq!(found(&client, "set", "_").await, None);
}

#[tokio::test]
async fn what_the_go_library_writes_is_read() {
    let (client, store) = place().await;
    for item in [
        item("text", "_", [("v", b("v"))]),
        item("number", "_", [("v", n("42"))]),
        item("set", "_", [("v", bs(&["a", "b"]))]),
        item("hash", "_", [("~Zg", b("v")), ("~", b("w"))]),
        item("z", "m", [("v", b("m")), ("rk2", rk2(1.5, "m"))]),
        item("z", "zero", [("v", b("zero")), ("rk2", rk2(-0.0, "zero"))]),
        item("z", "one", [("v", b("one")), ("rk2", rk2(0.0, "one"))]),
        item("zh", "f", [("v", b("value")), ("rk2", rk2(f64::NEG_INFINITY, "f"))]),
    ] {
        put(&client, item).await;
    }
    assert_eq!(store.get("text").await.unwrap().unwrap(), "v");
    assert_eq!(store.get("number").await.unwrap().unwrap(), "42");
    assert_eq!(store.smembers("set").await.unwrap().len(), 2);
    let fields = store.hgetall("hash").await.unwrap();
    assert_eq!(fields.len(), 2);
    assert_eq!(store.hget("hash", "").await.unwrap().unwrap(), "w");
    assert_eq!(store.zscore("z", "m").await.unwrap(), Some(1.5));
    assert_eq!(store.zhget("zh", "f").await.unwrap().unwrap(), "value");
    assert_eq!(store.zcount("zh", f64::NEG_INFINITY..=f64::NEG_INFINITY).await.unwrap(), 1);

    // -0.0 equals 0.0 in every operation.
    assert_eq!(store.zscore("z", "zero").await.unwrap().map(f64::to_bits), Some(0));
    for range in [0.0..=0.0, -0.0..=-0.0, 0.0..=-0.0] {
        assert_eq!(store.zcount("z", range.clone()).await.unwrap(), 2);
        let found = store.zrange("z").by_score(range).with_scores().await.unwrap();
        assert!(found.iter().all(|(_, score)| score.to_bits() == 0), "{found:?}");
    }
    assert_eq!(store.zcount("z", ..0.0).await.unwrap(), 0);
    assert_eq!(store.zcount("z", ..=0.0).await.unwrap(), 2);
    let above = (std::ops::Bound::Excluded(0.0), std::ops::Bound::Unbounded);
    assert_eq!(store.zcount("z", above).await.unwrap(), 1);
    assert_eq!(store.zincr_by("z", "zero", 2.0).await.unwrap(), 2.0);
    store.zrem("z", "zero").await.unwrap();
    assert_eq!(store.zcount("z", ..).await.unwrap(), 2);
}

#[tokio::test]
async fn a_number_that_was_written_as_text_is_a_number() {
    let (client, store) = place().await;
    put(&client, item("n", "_", [("v", b("41"))])).await;
    assert_eq!(store.incr_by("n", 1).await.unwrap(), 42);
    assert_eq!(found(&client, "n", "_").await, Some(item("n", "_", [("v", n("42"))])));
    put(&client, item("n", "_", [("v", b("41"))])).await;
    let mut tx = store.atomic_write();
    tx.incr_by("n", 1);
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(found(&client, "n", "_").await, Some(item("n", "_", [("v", n("42"))])));
    // These are not canonical integers.
    for text in ["041", "4 1", "", "9223372036854775808"] {
        put(&client, item("n", "_", [("v", b(text))])).await;
        assert_eq!(store.incr_by("n", 1).await.unwrap_err().kind(), ErrorKind::WrongType);
        assert_eq!(store.get("n").await.unwrap().unwrap(), text);
    }
}

/// Sends the request of the Go library's `SetEQ(key, value, old)` with strings.
async fn go_set_eq(client: &Client, key: &str, value: &str, old: &str) -> bool {
    let put = client.put_item().table_name(TABLE).set_item(Some(item(key, "_", [("v", b(value))])));
    let put = put.condition_expression("v = :v").expression_attribute_values(":v", b(old));
    put.send().await.is_ok()
}

/// The comparison failed for ever after this library had written the key as a number.
#[tokio::test]
async fn a_go_program_that_compares_and_swaps_text_goes_on_after_each_kind_of_set() {
    let (client, store) = place().await;
    for kind in 0..7 {
        put(&client, item("k", "_", [("v", b("1"))])).await;
        let mut batch = store.batch();
        let mut tx = store.atomic_write();
        match kind {
            0 => store.set("k", 42).await.unwrap(),
            1 => assert!(store.set_xx("k", "42").await.unwrap()),
            2 => assert!(store.set_eq("k", 42, 1).await.unwrap()),
            3 => {
                store.delete("k").await.unwrap();
                assert!(store.set_nx("k", 42).await.unwrap());
            }
            4 => {
                let _ = (batch.set("k", 42), batch.set("other", 1));
                drop(batch.exec().await.unwrap());
            }
            5 => {
                tx.set("k", 42);
                assert!(tx.exec().await.unwrap().is_committed());
            }
            _ => {
                let _ = tx.set_eq("k", 42, 1);
                assert!(tx.exec().await.unwrap().is_committed());
            }
        }
        assert_eq!(store.get("k").await.unwrap().unwrap(), "42");
        assert!(go_set_eq(&client, "k", "43", "42").await, "{kind}");
        assert_eq!(store.get("k").await.unwrap().unwrap(), "43");
        // It is a counter, too.
        assert_eq!(store.incr_by("k", 1).await.unwrap(), 44);
        assert_eq!(store.incr_by("k", 1).await.unwrap(), 45);
        assert!(store.set_eq("k", "x", "45").await.unwrap());
    }
}

#[tokio::test]
async fn set_eq_does_not_care_which_way_a_number_was_written() {
    let (client, store) = place().await;
    for form in [b("42"), n("42")] {
        for old in ["42", "042", "42.0", "43"] {
            put(&client, item("k", "_", [("v", form.clone())])).await;
            assert_eq!(store.set_eq("k", "x", old).await.unwrap(), old == "42", "{form:?}, {old}");
            put(&client, item("k", "_", [("v", form.clone())])).await;
            let mut tx = store.atomic_write();
            let _ = tx.set_eq("k", "x", old);
            let committed = tx.exec().await.unwrap().is_committed();
            assert_eq!(committed, old == "42", "{form:?}, {old}");
        }
    }
}

/// Counters that other programs have driven out of 64 bits, and one that is not an integer.
#[tokio::test]
async fn a_counter_out_of_range_is_changed_by_nobody() {
    let (client, store) = place().await;
    let (low, high) = ("-9223372036854775815", "9223372036854775815");
    for (number, by) in [(low, 1), (low, -1), (low, 0), (low, i64::MAX), (high, 1), (high, -1)]
        .into_iter()
        .chain([(high, 0), (high, i64::MIN), (low, 7), (high, -8), (high, -7)])
    {
        put(&client, item("n", "_", [("v", n(number))])).await;
        let error = store.incr_by("n", by).await.unwrap_err();
        let is = (error.kind(), error.outcome_is_unknown());
        assert_eq!(is, (ErrorKind::WrongType, false), "{number} + {by}: {error}");
        let mut batch = store.batch();
        let incr = batch.incr_by("n", by);
        let error = batch.exec_each().await.take(incr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType);
        let mut tx = store.atomic_write();
        tx.incr_by("n", by);
        tx.set("other", "v");
        assert_eq!(tx.exec().await.unwrap_err().kind(), ErrorKind::WrongType);
        assert_eq!(found(&client, "n", "_").await, Some(item("n", "_", [("v", n(number))])));
        assert_eq!(store.get("other").await.unwrap(), None);
    }
    // Both ends of the range are allowed.
    for (start, by, end) in [
        (i64::MIN, i64::MAX, -1),
        (i64::MAX, i64::MIN, -1),
        (0, i64::MIN, i64::MIN),
        (i64::MIN, 0, i64::MIN),
        (-1, i64::MIN + 1, i64::MIN),
    ] {
        put(&client, item("n", "_", [("v", n(&start.to_string()))])).await;
        assert_eq!(store.incr_by("n", by).await.unwrap(), end);
    }
    // No condition detects a fraction. The increment is applied, so the outcome is unknown.
    put(&client, item("n", "_", [("v", n("1.5"))])).await;
    let error = store.incr_by("n", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_is_unknown()), (ErrorKind::Corrupt, true), "{error}");
}

/// Other programs write -0.0, whose bytes sort before those of 0.0. This library returns it as 0.0,
/// before the members of 0.0.
#[tokio::test]
async fn members_of_minus_zero_are_of_zero_and_stand_before_the_others() {
    let (client, store) = place().await;
    for (member, score) in [("a", 0.0), ("b", -0.0), ("c", 0.0), ("d", -0.0), ("e", -1.0)] {
        let attributes = [("v", b(member)), ("rk2", rk2(score, member))];
        put(&client, item("z", member, attributes)).await;
    }
    let zero = |member: &str| (Value::from(member), 0.0_f64.to_bits());
    let shown = |range: Vec<(Value, f64)>| -> Vec<_> {
        range.into_iter().map(|(member, score)| (member, score.to_bits())).collect()
    };
    let range = store.zrange("z").by_score(0.0..).with_scores().await.unwrap();
    assert_eq!(shown(range), [zero("b"), zero("d"), zero("a"), zero("c")]);
    let range = store.zrange("z").by_score(-0.0..=-0.0).with_scores().rev().await.unwrap();
    assert_eq!(shown(range), [zero("c"), zero("a"), zero("d"), zero("b")]);
    let range = store.zrange("z").by_lex("a".."e").with_scores().await.unwrap();
    assert_eq!(shown(range), [zero("a"), zero("b"), zero("c"), zero("d")]);
    let score = store.zscore("z", "b").await.unwrap().map(f64::to_bits);
    assert_eq!(score, Some(0));
    assert_eq!(store.zcount("z", 0.0..=0.0).await.unwrap(), 4);
    let mut batch = store.batch();
    let (score, other) = (batch.zscore("z", "d"), batch.zscore("z", "a"));
    let mut replies = batch.exec().await.unwrap();
    assert_eq!(replies.take(score).unwrap().map(f64::to_bits), Some(0));
    assert_eq!(replies.take(other).unwrap().map(f64::to_bits), Some(0));
    assert_eq!(store.zincr_by("z", "b", 0.0).await.unwrap().to_bits(), 0);
    // Once this library has written the member, it sorts among the others.
    store.zadd("z", "d", -0.0).await.unwrap();
    assert_eq!(store.zrange("z").by_score(0.0..).await.unwrap(), ["a", "b", "c", "d"]);
}

/// When the Go library removes the last member or field, an item with its keys only remains. An
/// atomic write of this library leaves its mark, too.
#[tokio::test]
async fn what_was_emptied_is_nothing() {
    let (client, store) = place().await;
    let empties = || [item("k", "_", []), item("k", "_", [("t", b("12345678"))])];
    for empty in empties() {
        put(&client, empty).await;
        assert_eq!(store.get("k").await.unwrap(), None);
        assert_eq!(store.smembers("k").await.unwrap().len(), 0);
        assert_eq!(store.hgetall("k").await.unwrap().len(), 0);
        assert_eq!(store.hget("k", "f").await.unwrap(), None);
        assert_eq!(store.zcount("k", ..).await.unwrap(), 0);
        assert_eq!(store.zlexcount("k", ..).await.unwrap(), 0);
        assert_eq!(store.zrange("k").by_lex(..).await.unwrap().len(), 0);
        assert!(!store.set_xx("k", "v").await.unwrap());
        assert!(!store.set_eq("k", "v", "").await.unwrap());
        store.srem("k", ["m"]).await.unwrap();
        store.hdel("k", ["f"]).await.unwrap();
        store.zrem("k", "_").await.unwrap();
        assert!(!store.delete("k").await.unwrap());
    }
    // Every type can be written over an emptied item.
    for at in 0..9 {
        for empty in empties() {
            put(&client, empty).await;
            let atomic = |write: fn(&mut keyvaluestore::AtomicWrite)| {
                let mut tx = store.atomic_write();
                write(&mut tx);
                async move { assert!(tx.exec().await.unwrap().is_committed()) }
            };
            match at {
                0 => assert!(store.set_nx("k", "v").await.unwrap()),
                1 => assert_eq!(store.incr_by("k", 5).await.unwrap(), 5),
                2 => store.sadd("k", ["m"]).await.unwrap(),
                3 => assert!(store.hset_nx("k", "f", "v").await.unwrap()),
                4 => assert!(store.zadd_nx("k", "_", 1.0).await.unwrap()),
                5 => {
                    atomic(|tx| {
                        let _ = tx.set_nx("k", "v");
                    })
                    .await;
                }
                6 => atomic(|tx| tx.sadd("k", ["m"])).await,
                7 => atomic(|tx| tx.incr_by("k", 5)).await,
                _ => {
                    atomic(|tx| {
                        let _ = tx.zadd_nx("k", "_", 1.0);
                    })
                    .await;
                }
            }
            let held = [
                store.get("k").await.is_ok_and(|v| v.is_some()),
                store.smembers("k").await.is_ok_and(|m| !m.is_empty()),
                store.hgetall("k").await.is_ok_and(|f| !f.is_empty()),
                store.zcount("k", ..).await.unwrap() == 1,
            ];
            let which = [0, 0, 1, 2, 3, 0, 1, 0, 3][at];
            let expected: Vec<bool> = (0..4).map(|i| i == which).collect();
            assert_eq!(held[..], expected, "{at}");
            assert!(store.delete("k").await.unwrap());
            assert_eq!(found(&client, "k", "_").await, None, "{at}");
        }
    }
}

#[tokio::test]
async fn items_that_nobody_should_have_written_are_errors_and_not_lost() {
    let (client, store) = place().await;
    let s = |text: &str| AttributeValue::S(text.into());
    for item in [
        item("string", "_", [("v", s("v"))]),
        item("list", "_", [("v", AttributeValue::L(vec![]))]),
        item("hash", "_", [("~!", b("v")), ("~Zg", b("w"))]),
        item("field", "_", [("~Zg", s("v"))]),
        item("short", "m", [("v", b("m")), ("rk2", b("1234567"))]),
        item("nan", "m", [("v", b("m")), ("rk2", rk2(f64::NAN, "m"))]),
        item("no value", "m", [("rk2", rk2(1.0, "m"))]),
    ] {
        put(&client, item).await;
    }
    let kind = |error: keyvaluestore::Error| error.kind();
    use ErrorKind::{Corrupt, WrongType};
    for key in ["string", "list"] {
        assert_eq!(kind(store.get(key).await.unwrap_err()), WrongType);
        assert_eq!(kind(store.incr_by(key, 1).await.unwrap_err()), WrongType);
        assert_eq!(kind(store.sadd(key, ["m"]).await.unwrap_err()), WrongType);
        assert_eq!(kind(store.hset(key, [("f", "v")]).await.unwrap_err()), WrongType);
        assert!(!store.set_nx(key, "v").await.unwrap());
        assert!(found(&client, key, "_").await.is_some());
    }
    assert_eq!(kind(store.hgetall("hash").await.unwrap_err()), Corrupt);
    assert_eq!(store.hget("hash", "f").await.unwrap().unwrap(), "w");
    assert!(store.hget("field", "f").await.is_err());
    for key in ["short", "nan"] {
        assert_eq!(kind(store.zscore(key, "m").await.unwrap_err()), Corrupt, "{key}");
        assert_eq!(kind(store.zincr_by(key, "m", 1.0).await.unwrap_err()), Corrupt, "{key}");
        let range = store.zrange(key).with_scores().by_lex(..).await;
        assert_eq!(kind(range.unwrap_err()), Corrupt, "{key}");
        assert!(found(&client, key, "m").await.is_some());
        // A malformed member can be overwritten.
        store.zadd(key, "m", 1.0).await.unwrap();
        assert_eq!(store.zscore(key, "m").await.unwrap(), Some(1.0));
    }
    assert_eq!(kind(store.zhget("no value", "m").await.unwrap_err()), Corrupt);
}

/// The Go library does not check types, and can write two types into one item.
#[tokio::test]
async fn an_item_of_two_types_loses_neither_until_it_is_deleted() {
    let (client, store) = place().await;
    put(&client, item("k", "_", [("v", n("1")), ("~Zg", b("w"))])).await;
    assert_eq!(store.get("k").await.unwrap().unwrap(), "1");
    assert_eq!(store.incr_by("k", 1).await.unwrap(), 2);
    assert_eq!(store.hset("k", [("f", "x")]).await.unwrap_err().kind(), ErrorKind::WrongType);
    let both = item("k", "_", [("v", n("2")), ("~Zg", b("w"))]);
    assert_eq!(found(&client, "k", "_").await, Some(both));
    assert!(store.delete("k").await.unwrap());
    assert_eq!(found(&client, "k", "_").await, None);
    // A string and a sorted set are different items.
    put(&client, item("k", "_", [("v", b("text"))])).await;
    put(&client, item("k", "m", [("v", b("m")), ("rk2", rk2(1.0, "m"))])).await;
    assert_eq!(store.get("k").await.unwrap().unwrap(), "text");
    assert_eq!(store.zcount("k", ..).await.unwrap(), 1);
    assert_eq!(store.zlexcount("k", ..).await.unwrap(), 1);
    assert_eq!(store.zrange("k").by_lex(..).await.unwrap(), ["m"]);
    assert!(store.delete("k").await.unwrap());
    assert!(store.delete("k").await.unwrap());
    assert!(!store.delete("k").await.unwrap());
}
