//! Operations on a key of another type. They are a bug of the caller, and must not corrupt data.
//! For atomic writes see `atomic_types.rs`.

use super::*;
use crate::Value;
use crate::op::{Kind, *};

pub(super) const TYPES: [&str; 5] = ["string", "counter", "set", "hash", "sorted"];

pub(super) async fn make(s: &Store, kind: &str, key: &str) -> Result<()> {
    match kind {
        "string" => s.set(key, "text").await,
        "counter" => s.incr_by(key, 7).await.map(drop),
        "set" => s.sadd(key, ["a", "b"]).await,
        "hash" => s.hset(key, [("f", "v")]).await,
        _ => {
            s.zhadd(key, "f", "v", 1.0).await?;
            s.zadd(key, "m", 2.0).await
        }
    }
}

/// Whether the key still holds the data that `make` wrote.
pub(super) async fn is_intact(s: &Store, kind: &str, key: &str) -> Result<bool> {
    Ok(match kind {
        "string" => s.get(key).await?.is_some_and(|v| v == "text"),
        "counter" => s.get(key).await?.is_some_and(|v| v == "7"),
        "set" => members(s, key).await? == ["a", "b"],
        "hash" => s.hgetall(key).await?.get(&b"f"[..]).is_some_and(|v| *v == "v"),
        _ => s.zhrange(key).await? == ["v", "m"] && s.zrange(key).by_lex(..).await? == ["f", "m"],
    })
}

/// Whether the operation works on this type.
pub(super) fn fits(op: &Op, kind: &str) -> bool {
    let holds = match kind {
        "string" | "counter" => Kind::String,
        "set" => Kind::Set,
        "hash" => Kind::Hash,
        _ => Kind::Sorted,
    };
    match op.name() {
        "set" | "set_nx" | "set_xx" => holds != Kind::Sorted,
        "incr_by" => kind == "counter",
        _ => op.kind() == Kind::Any || op.kind() == holds,
    }
}

fn reads() -> Vec<Op> {
    let k = "k";
    vec![
        Get::new(k).into(),
        SMembers::new(k).into(),
        HGet::new(k, "f".into()).into(),
        HGetAll::new(k).into(),
        ZScore::new(k, "_".into()).into(),
        ZHGet::new(k, "_".into()).into(),
        ZCount::new(k, Range::Score(ScoreRange::ALL)).into(),
        ZCount::new(k, Range::Lex(Box::new(LexRange::ALL))).into(),
        ZRange::new(k).into(),
        ZRange { range: Range::Lex(Box::new(LexRange::ALL)), ..ZRange::new(k) }.into(),
        ZRange { values: true, scores: true, rev: true, ..ZRange::new(k) }.into(),
        // Reads with an empty result, whatever the key holds.
        ZRange { limit: Some(0), ..ZRange::new(k) }.into(),
        ZCount::new(k, Range::Score(ScoreRange::new(2.0..1.0).unwrap())).into(),
    ]
}

pub(super) fn writes() -> Vec<Op> {
    let (k, one) = ("k", || Score::new(1.0).unwrap());
    let set = |condition| Set::new(k, "x".into()).condition(condition).into();
    vec![
        set(Condition::Always),
        set(Condition::NotExists),
        set(Condition::Exists),
        set(Condition::Equals("m".into())),
        IncrBy::new(k, 1).into(),
        SAdd::new(k, vec!["x".into()]).into(),
        SRem::new(k, vec!["a".into()]).into(),
        HSet::new(k, vec![("x".into(), "y".into())]).into(),
        HSetNx::new(k, "x".into(), "y".into()).into(),
        HDel::new(k, vec!["f".into()]).into(),
        ZAdd::new(k, "x".into(), one()).into(),
        ZAdd::new(k, "x".into(), one()).value("y".into()).nx(true).into(),
        ZRem::new(k, "f".into()).into(),
        ZIncrBy::new(k, "x".into(), one()).into(),
        // Writes that change nothing, whatever the key holds.
        SAdd::new(k, vec![]).into(),
        SRem::new(k, vec![]).into(),
        HSet::new(k, vec![]).into(),
        HDel::new(k, vec![]).into(),
        ZAdd::new(k, "f".into(), one()).nx(true).into(),
        ZRem::new(k, "none".into()).into(),
        SRem::new(k, vec!["none".into()]).into(),
        HDel::new(k, vec!["none".into()]).into(),
    ]
}

fn is_empty(reply: &Reply) -> bool {
    match reply {
        Reply::Value(v) => v.is_none(),
        Reply::Score(score) => score.is_none(),
        Reply::Count(n) => *n == 0,
        Reply::Values(v) => v.is_empty(),
        Reply::Scored(v) => v.is_empty(),
        Reply::Fields(v) => v.is_empty(),
        _ => false,
    }
}

pub(crate) async fn reading_as_another_type_finds_nothing_or_says_so(given: Given) -> Result<()> {
    let s = &given.store;
    for kind in TYPES {
        s.delete("k").await?;
        make(s, kind, "k").await?;
        for op in reads().into_iter().filter(|op| !fits(op, kind)) {
            match s.run::<Reply>(op.clone()).await {
                Ok(reply) if !given.sees_types => {
                    assert!(is_empty(&reply), "{op:?} on a {kind} returns {reply:?}");
                }
                result => assert_wrong_type(&result, &op, kind),
            }
        }
        assert!(is_intact(s, kind, "k").await?, "{kind}");
    }
    Ok(())
}

#[track_caller]
fn assert_wrong_type(result: &Result<Reply>, op: &Op, kind: &str) {
    let found = result.as_ref().map_err(Error::kind);
    assert_eq!(found, Err(ErrorKind::WrongType), "{op:?} on a {kind}");
}

pub(crate) async fn writing_as_another_type_leaves_the_old_value_decodable(
    given: Given,
) -> Result<()> {
    let s = &given.store;
    for kind in TYPES {
        for op in writes().into_iter().filter(|op| !fits(op, kind)) {
            s.delete("k").await?;
            make(s, kind, "k").await?;
            let result = s.run::<Reply>(op.clone()).await;
            if result.is_err() || given.sees_types {
                assert_wrong_type(&result, &op, kind);
                assert!(is_intact(s, kind, "k").await?, "{op:?} on a {kind}");
            }
            // A reply as if the key did not exist. The old value may be there or not, but every
            // read must still decode.
            let intact = is_intact(s, kind, "k").await.unwrap_or(false);
            for read in reads() {
                match s.run::<Reply>(read.clone()).await {
                    Ok(reply) => assert!(
                        intact || !fits(&read, kind) || is_empty(&reply),
                        "{op:?}; {read:?} on a {kind} returns {reply:?}"
                    ),
                    result => assert_wrong_type(&result, &read, kind),
                }
            }
            delete_misused(s, "k").await?;
        }
    }
    Ok(())
}

pub(crate) async fn a_batch_used_as_another_type_does_no_harm_either(given: Given) -> Result<()> {
    let s = &given.store;
    for kind in TYPES {
        let misused = || reads().into_iter().chain(writes()).filter(|op| !fits(op, kind));
        let key = |n: usize| format!("{kind}{n}");
        for n in 0..misused().count() {
            make(s, kind, &key(n)).await?;
        }
        let mut batch = s.batch();
        let mut handles = Vec::new();
        for (n, mut op) in misused().enumerate() {
            match &mut op {
                Op::Read(op) => *op.key_mut() = key(n).into(),
                Op::Write(op) => *op.key_mut() = key(n).into(),
            }
            handles.push((n, op.clone(), batch.push::<Reply>(op)));
        }
        let last = batch.incr_by("last", 1);
        let mut replies = batch.exec_each().await;
        for (n, op, handle) in handles {
            let result = replies.take(handle);
            if result.is_err() || given.sees_types {
                assert_wrong_type(&result, &op, kind);
                assert!(is_intact(s, kind, &key(n)).await?, "{op:?} on a {kind}");
            }
        }
        assert!(replies.take(last)? > 0, "the operations after it must run");
    }
    Ok(())
}

/// A key that was written as two types may hold data of both. Each `delete` then removes one.
async fn delete_misused(s: &Store, key: &str) -> Result<()> {
    assert!(s.delete(key).await?);
    if s.delete(key).await? {
        assert!(!s.delete(key).await?);
    }
    for op in reads() {
        assert!(is_empty(&s.run::<Reply>(op.clone()).await?), "{op:?}");
    }
    Ok(())
}

pub(crate) async fn incr_by_of_a_collection_never_corrupts_it(given: Given) -> Result<()> {
    let s = &given.store;
    for kind in ["set", "hash", "sorted"] {
        make(s, kind, kind).await?;
        given.wrong_type_or(s.incr_by(kind, 1).await, 1);
    }
    for kind in ["set", "hash", "sorted"] {
        match is_intact(s, kind, kind).await {
            Ok(intact) => assert!(intact, "{kind}"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WrongType, "{kind}"),
        }
    }
    Ok(())
}

pub(crate) async fn set_over_a_sorted_set_is_refused_or_readable(given: Given) -> Result<()> {
    let s = &given.store;
    let set = |condition| Set::new("k", Value::from("text")).condition(condition);
    for condition in [Condition::Always, Condition::NotExists] {
        s.delete("k").await?;
        make(s, "sorted", "k").await?;
        match s.run::<bool>(set(condition)).await {
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WrongType);
                assert!(is_intact(s, "sorted", "k").await?);
            }
            Ok(answer) if given.sees_types => panic!("it returns {answer}"),
            Ok(true) => assert_eq!(s.get("k").await?.unwrap(), "text"),
            Ok(false) => assert!(is_intact(s, "sorted", "k").await?),
        }
        delete_misused(s, "k").await?;
    }
    Ok(())
}

pub(crate) async fn conditional_sets_do_not_see_sorted_sets(given: Given) -> Result<()> {
    let s = &given.store;
    make(s, "sorted", "k").await?;
    given.wrong_type_or(s.set_xx("k", "x").await, false);
    for old in ["", "f", "v", "m"] {
        given.wrong_type_or(s.set_eq("k", "x", old).await, false);
    }
    assert!(is_intact(s, "sorted", "k").await?);
    // Last, because the key may then hold both types.
    given.wrong_type_or(s.set_nx("k", "x").await, true);
    delete_misused(s, "k").await
}

pub(crate) async fn an_emptied_key_may_become_any_type(s: Store) -> Result<()> {
    for emptied in ["set", "hash", "sorted"] {
        for kind in TYPES {
            make(&s, emptied, "k").await?;
            match emptied {
                "set" => s.srem("k", ["a", "b"]).await?,
                "hash" => s.hdel("k", ["f"]).await?,
                _ => {
                    s.zhrem("k", "f").await?;
                    s.zrem("k", "m").await?;
                }
            }
            make(&s, kind, "k").await?;
            assert!(is_intact(&s, kind, "k").await?, "an emptied {emptied} as a {kind}");
            assert!(s.delete("k").await?, "an emptied {emptied} as a {kind}");
            assert!(!s.delete("k").await?, "an emptied {emptied} as a {kind}");
        }
    }
    Ok(())
}

pub(crate) async fn nothing_is_left_of_long_values(s: Store) -> Result<()> {
    let long = patterned(150_000);
    s.hset("hash", [("f", &long[..]), ("g", b"short")]).await?;
    s.hset("hash", [("g", &long)]).await?;
    s.hdel("hash", ["f", "g"]).await?;
    s.zhadd("sorted", "f", &long, 1.0).await?;
    s.zhrem("sorted", "f").await?;
    s.zhadd("replaced", "f", &long, 1.0).await?;
    s.zadd("replaced", "f", 1.0).await?;
    s.zrem("replaced", "f").await?;
    s.zhadd("moved", "f", &long, 1.0).await?;
    s.zincr_by("moved", "f", 1.0).await?;
    s.zrem("moved", "f").await?;
    for key in ["string", "replaced string"] {
        s.set(key, &long).await?;
    }
    s.set("replaced string", "short").await?;
    s.hset("whole hash", [("f", &long)]).await?;
    let mut tx = s.atomic_write();
    for key in ["string", "replaced string", "whole hash"] {
        tx.delete_xx(key);
    }
    assert!(tx.exec().await?.is_committed());
    let keys = ["hash", "sorted", "replaced", "moved", "string", "replaced string", "whole hash"];
    for key in keys {
        assert!(!s.delete(key).await?, "{key}");
        assert_eq!(s.incr_by(key, 1).await?, 1, "{key}");
    }
    Ok(())
}
