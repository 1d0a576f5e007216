//! The layout of the Go library keyvaluestore, in both directions; and keys of other types, written
//! by other programs.

use crate::support::redis::Server;
use crate::{Admin, CALLS, open};
use keyvaluestore::{ErrorKind, Outcome, Result, Store};

/// Creates a key of a type.
fn put(admin: &mut Admin, key: &str, kind: &str) {
    match kind {
        "none" => {}
        "string" => admin.done(&["SET", key, "text"]),
        "list" => admin.done(&["RPUSH", key, "a", "b"]),
        "set" => admin.done(&["SADD", key, "a", "b"]),
        "hash" => admin.done(&["HSET", key, "x", "1", "y", "2"]),
        "zset" => admin.done(&["ZADD", key, "1", "a", "2", "g"]),
        "stream" => admin.done(&["XADD", key, "1-1", "f", "v"]),
        other => panic!("{other}"),
    }
}

const KEYS: [&str; 7] = ["none", "string", "list", "set", "hash", "zset", "stream"];
const VALUE_HASHES: [&str; 6] = ["none", "string", "list", "set", "zset", "stream"];

#[tokio::test]
async fn other_types_are_refused_or_as_though_absent_and_nothing_is_half_done() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for key in KEYS {
        for value_hash in VALUE_HASHES.into_iter().chain(["hash"]) {
            for call in CALLS {
                admin.done(&["FLUSHALL"]);
                put(&mut admin, "k", key);
                put(&mut admin, "__kvs_zh:k", value_hash);
                let before = admin.digest();
                let result = (call.run)(store.clone(), "k").await;
                let what = format!("{key} beside {value_hash}: {}: {result:?}", call.name);
                match result {
                    Ok(_) if call.writes => {}
                    Ok(_) => assert_eq!(admin.digest(), before, "{what}"),
                    Err(e) => {
                        // Without a value hash the values are lost, or never existed.
                        let lost =
                            key == "zset" && value_hash == "none" && call.name.contains("zh");
                        let kind = if lost { ErrorKind::Corrupt } else { ErrorKind::WrongType };
                        assert_eq!(e.kind(), kind, "{what}");
                        assert_eq!(admin.digest(), before, "{what}");
                    }
                }
            }
        }
    }
}

fn atomic(store: &Store, i: usize) -> impl Future<Output = Result<Outcome>> + '_ {
    let mut w = store.atomic_write();
    w.sadd("first", ["a"]);
    match i {
        0 => w.set("k", "v"),
        1 => drop(w.set_nx("k", "v")),
        2 => drop(w.set_xx("k", "v")),
        3 => drop(w.set_eq("k", "v", "text")),
        4 => w.delete("k"),
        5 => drop(w.delete_xx("k")),
        6 => w.incr_by("k", 1),
        7 => w.sadd("k", ["z"]),
        8 => w.srem("k", ["a"]),
        9 => w.hset("k", [("x", "new")]),
        10 => drop(w.hset_nx("k", "new", "v")),
        11 => w.hdel("k", ["x"]),
        12 => w.zadd("k", "a", 5.0),
        13 => drop(w.zadd_nx("k", "new", 5.0)),
        14 => w.zrem("k", "a"),
        15 => w.zincr_by("k", "new", 5.0),
        16 => w.zhadd("k", "a", "v", 5.0),
        17 => drop(w.zhadd_nx("k", "new", "v", 5.0)),
        _ => w.zhrem("k", "a"),
    }
    w.set("last", "v");
    w.exec()
}

#[tokio::test]
async fn an_atomic_write_on_other_types_is_applied_entirely_or_not_at_all() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let mut applied = 0;
    for key in KEYS {
        for value_hash in VALUE_HASHES.into_iter().chain(["hash"]) {
            for i in 0..19 {
                admin.done(&["FLUSHALL"]);
                put(&mut admin, "k", key);
                put(&mut admin, "__kvs_zh:k", value_hash);
                let before = admin.digest();
                let result = atomic(&store, i).await;
                let what = format!("{key} beside {value_hash}: {i}: {result:?}");
                match result {
                    Ok(Outcome::Committed) => {
                        assert_eq!(admin.run::<i64>(&["EXISTS", "first", "last"]), 2, "{what}");
                        applied += 1;
                    }
                    Ok(Outcome::ConditionFailed(failed)) => {
                        assert_eq!(failed.indices(), [1], "{what}");
                        assert_eq!(admin.digest(), before, "{what}");
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::WrongType, "{what}");
                        assert_eq!(admin.digest(), before, "{what}");
                    }
                }
            }
        }
    }
    assert!(applied > 200, "{applied}");
}

/// Once it committed, and the sorted set remained.
#[tokio::test]
async fn an_atomic_delete_of_a_sorted_set_is_a_wrong_type_and_applies_nothing() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    store.zadd("z", "m", 1.0).await.unwrap();
    store.zhadd("zh", "f", "v", 1.0).await.unwrap();
    admin.done(&["ZADD", "of another program", "1", "m"]);
    let before = admin.digest();
    for key in ["z", "zh", "of another program"] {
        let mut tx = store.atomic_write();
        tx.set("first", "v");
        tx.delete(key);
        tx.incr_by("last", 1);
        let error = crate::assert_kind(tx.exec().await, ErrorKind::WrongType);
        assert!(error.to_string().contains("write 1"), "{error}");
        assert!(!error.outcome_is_unknown());
        // A failed condition takes precedence over an error.
        let mut tx = store.atomic_write();
        tx.delete(key);
        tx.set_xx("absent", "v");
        let Outcome::ConditionFailed(failed) = tx.exec().await.unwrap() else { panic!("{key}") };
        assert_eq!(failed.indices(), [1]);
        let mut tx = store.atomic_write();
        tx.delete_xx(key);
        crate::assert_kind(tx.exec().await, ErrorKind::WrongType);
    }
    assert_eq!(admin.digest(), before);
}

/// Once a score that another program had written as `-0.0` was returned as that.
#[tokio::test]
async fn no_score_is_answered_as_minus_zero() {
    let server = Server::start(&[]);
    let (store, mut other) = (open(&server.url()).await, Admin::of(&server));
    // Redis stores few members as text (listpack), and many as numbers (skiplist).
    for filling in [0, 200] {
        other.done(&["FLUSHALL"]);
        for i in 0..filling {
            other.done(&["ZADD", "z", "1", &format!("h{i}")]);
        }
        other.done(&["ZADD", "z", "-0.0", "f", "-0.0", "g"]);
        other.done(&["HSET", "__kvs_zh:z", "f", "v"]);
        let mut batch = store.batch();
        let folded = [batch.zscore("z", "f"), batch.zscore("z", "g")];
        let range = batch.zrange("z").limit(2).with_scores().queue();
        let mut replies = batch.exec().await.unwrap();
        let mut scores: Vec<f64> =
            folded.map(|score| replies.take(score).unwrap().unwrap()).to_vec();
        scores.extend(replies.take(range).unwrap().iter().map(|(_, score)| score));
        scores.push(store.zscore("z", "g").await.unwrap().unwrap());
        scores.push(store.zincr_by("z", "g", 0.0).await.unwrap());
        for query in [store.zrange("z"), store.zhrange("z"), store.zhrange("z").by_lex(..)] {
            let found = query.limit(2).with_scores().await.unwrap();
            scores.extend(found.iter().map(|(_, score)| score));
        }
        for score in scores {
            assert_eq!((score, score.is_sign_negative()), (0.0, false), "{filling}");
        }
    }
    // The same in a range that is read page by page.
    let mut batch = store.batch();
    for i in 0..1_500 {
        batch.zhadd("long", i, "v", 1.0);
    }
    batch.exec().await.unwrap();
    other.done(&["ZADD", "long", "-0.0", "7"]);
    for query in [store.zhrange("long"), store.zhrange("long").by_lex(..)] {
        let found = query.with_scores().await.unwrap();
        assert!(found.len() == 1_500 && found.iter().all(|(_, score)| !score.is_sign_negative()));
    }
}

#[tokio::test]
async fn a_key_with_the_name_of_a_companion_is_refused() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    store.zhadd("k", "f", "v", 1.0).await.unwrap();
    let before = admin.digest();
    for call in CALLS {
        let result = (call.run)(store.clone(), "__kvs_zh:k").await;
        crate::assert_kind(result, ErrorKind::InvalidArgument);
    }
    let mut b = store.batch();
    let (bad, good) = (b.get("__kvs_zh:k"), b.zhget("k", "f"));
    let mut r = b.exec_each().await;
    crate::assert_kind(r.take(bad), ErrorKind::InvalidArgument);
    assert_eq!(r.take(good).unwrap().unwrap(), "v");
    let mut w = store.atomic_write();
    w.set("other", "v");
    w.hdel("__kvs_zh:k", ["f"]);
    crate::assert_kind(w.exec().await, ErrorKind::InvalidArgument);
    assert_eq!(admin.digest(), before);
}

#[tokio::test]
async fn what_the_go_library_has_written_is_read() {
    let server = Server::start(&[]);
    let (s, mut go) = (open(&server.url()).await, Admin::of(&server));
    go.done(&["SET", "text", "v"]);
    go.done(&["INCRBY", "number", "-7"]);
    go.done(&["SADD", "set", "a"]);
    go.done(&["HSET", "hash", "f", "v"]);
    // Go's ZHAdd writes both keys, its ZAdd only the score.
    go.done(&["ZADD", "z", "1", "f"]);
    go.done(&["HSET", "__kvs_zh:z", "f", "value"]);
    go.done(&["ZADD", "z", "2", "plain"]);
    assert_eq!(s.get("text").await.unwrap().unwrap(), "v");
    assert_eq!(s.get("number").await.unwrap().unwrap(), "-7");
    assert_eq!(s.incr_by("number", 1).await.unwrap(), -6);
    assert_eq!(s.smembers("set").await.unwrap(), ["a"]);
    assert_eq!(s.hget("hash", "f").await.unwrap().unwrap(), "v");
    assert_eq!(s.zhget("z", "f").await.unwrap().unwrap(), "value");
    assert_eq!(s.zhget("z", "plain").await.unwrap().unwrap(), "plain");
    assert_eq!(s.zhrange("z").await.unwrap(), ["value", "plain"]);
    assert_eq!(s.zrange("z").await.unwrap(), ["f", "plain"]);
    let scored = s.zhrange("z").rev().with_scores().await.unwrap();
    assert_eq!(scored, [("plain".into(), 2.0), ("value".into(), 1.0)]);
    // Go's ZRem leaves the value in the value hash. No read returns it.
    go.done(&["ZREM", "z", "f"]);
    assert_eq!(s.zhget("z", "f").await.unwrap(), None);
    assert_eq!(s.zhrange("z").await.unwrap(), ["plain"]);
}

#[tokio::test]
async fn what_is_written_is_found_where_the_go_library_looks() {
    let server = Server::start(&[]);
    let (s, mut go) = (open(&server.url()).await, Admin::of(&server));
    for atomic in [false, true] {
        go.done(&["FLUSHALL"]);
        if atomic {
            let mut w = s.atomic_write();
            w.set("text", "v");
            w.incr_by("number", 5);
            w.sadd("set", ["a"]);
            w.hset("hash", [("f", "v")]);
            w.zhadd("z", "f", "value", 1.5);
            w.zadd("z", "plain", f64::INFINITY);
            w.zincr_by("z", "sum", 0.1);
            assert!(w.exec().await.unwrap().is_committed());
        } else {
            s.set("text", "v").await.unwrap();
            s.incr_by("number", 5).await.unwrap();
            s.sadd("set", ["a"]).await.unwrap();
            s.hset("hash", [("f", "v")]).await.unwrap();
            s.zhadd("z", "f", "value", 1.5).await.unwrap();
            s.zadd("z", "plain", f64::INFINITY).await.unwrap();
            s.zincr_by("z", "sum", 0.1).await.unwrap();
        }
        assert_eq!(go.run::<String>(&["GET", "text"]), "v");
        assert_eq!(go.run::<String>(&["GET", "number"]), "5");
        assert_eq!(go.run::<Vec<String>>(&["SMEMBERS", "set"]), ["a"]);
        assert_eq!(go.run::<Vec<String>>(&["HGETALL", "hash"]), ["f", "v"]);
        assert_eq!(go.run::<f64>(&["ZSCORE", "z", "f"]), 1.5);
        assert_eq!(go.run::<f64>(&["ZSCORE", "z", "sum"]), 0.1);
        let all: Vec<String> = go.run(&["ZRANGE", "z", "0", "-1"]);
        assert_eq!(all, ["sum", "f", "plain"]);
        let beside = "__kvs_zh:z";
        let values: Vec<Option<String>> = go.run(&["HMGET", beside, "f", "plain", "sum"]);
        assert_eq!(values, [Some("value".to_owned()), None, None]);
        // And the mark, which Go does not read.
        let kept = go.run::<Vec<String>>(&["HGETALL", beside]);
        assert_eq!((kept.len(), go.run::<String>(&["HGET", beside, ""])), (4, "own".to_owned()));
        s.zhrem("z", "f").await.unwrap();
        assert_eq!(go.run::<Vec<String>>(&["HGETALL", beside]), ["", "own"]);
        s.zhadd("z", "f", "value", 1.5).await.unwrap();
        s.delete("z").await.unwrap();
        assert_eq!(go.run::<Vec<String>>(&["KEYS", "*z*"]), [""; 0]);
    }
}

#[tokio::test]
async fn a_value_that_the_go_library_has_left_behind_never_shows() {
    let server = Server::start(&[]);
    let (s, mut go) = (open(&server.url()).await, Admin::of(&server));
    // Whether the member exists before the write.
    for member_is_there in [false, true] {
        for how in 0..8 {
            go.done(&["FLUSHALL"]);
            go.done(&["ZADD", "z", "1", "f", "1", "other"]);
            go.done(&["HSET", "__kvs_zh:z", "f", "stale", "other", "value"]);
            if !member_is_there {
                go.done(&["ZREM", "z", "f"]);
            }
            let mut w = s.atomic_write();
            match how {
                0 => s.zadd("z", "f", 2.0).await.unwrap(),
                1 if !member_is_there => assert!(s.zadd_nx("z", "f", 2.0).await.unwrap()),
                2 if !member_is_there => drop(s.zincr_by("z", "f", 2.0).await.unwrap()),
                3 => {
                    s.delete("z").await.unwrap();
                    go.done(&["ZADD", "z", "1", "other"]);
                    go.done(&["HSET", "__kvs_zh:z", "other", "value"]);
                    s.zadd("z", "f", 2.0).await.unwrap();
                }
                4 => w.zadd("z", "f", 2.0),
                5 if !member_is_there => drop(w.zadd_nx("z", "f", 2.0)),
                6 if !member_is_there => w.zincr_by("z", "f", 2.0),
                7 => {
                    s.zrem("z", "f").await.unwrap();
                    go.done(&["ZADD", "z", "2", "f"]);
                }
                _ => continue,
            }
            assert!(w.exec().await.unwrap().is_committed());
            let what = format!("{how} {member_is_there}");
            assert_eq!(s.zhget("z", "f").await.unwrap().unwrap(), "f", "{what}");
            assert_eq!(s.zhrange("z").await.unwrap(), ["value", "f"], "{what}");
        }
    }
    // A member that keeps its score keeps its value.
    s.zhadd("z2", "f", "value", 1.0).await.unwrap();
    s.zincr_by("z2", "f", 1.0).await.unwrap();
    let mut w = s.atomic_write();
    w.zincr_by("z2", "f", 1.0);
    assert!(w.exec().await.unwrap().is_committed());
    assert!(!s.zadd_nx("z2", "f", 9.0).await.unwrap());
    assert_eq!(s.zhrange("z2").with_scores().await.unwrap(), [("value".into(), 3.0)]);
}
