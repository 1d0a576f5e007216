//! Atomic writes and the types of keys: what conditions see, and that a wrong type applies nothing.

use super::types::{TYPES, fits, is_intact, make, writes};
use super::*;
use crate::Outcome;
use crate::op::{Delete, Op, Write};

pub(crate) async fn a_wrong_type_in_an_atomic_write_applies_nothing(given: Given) -> Result<()> {
    let s = &given.store;
    make(s, "string", "string").await?;
    let mut tx = s.atomic_write();
    tx.set("before", "x");
    tx.incr_by("string", 1);
    tx.set("after", "x");
    assert_kind(tx.exec().await, ErrorKind::WrongType);
    for (i, kind) in TYPES.iter().enumerate() {
        let key = format!("{kind}{i}");
        make(s, kind, &key).await?;
        for write in writes().into_iter().filter(|op| !fits(op, kind)) {
            let Op::Write(mut write) = write else { continue };
            *write.key_mut() = key.as_str().into();
            let mut tx = s.atomic_write();
            tx.set("before", "x");
            tx.push(write.clone());
            tx.sadd("after", ["x"]);
            let outcome = tx.exec().await;
            match outcome {
                Ok(outcome) if given.sees_types => assert!(
                    unseen(&write, kind) && matches!(outcome, Outcome::ConditionFailed(_)),
                    "{write:?} on a {kind}: {outcome:?}"
                ),
                Ok(_) => {
                    s.delete("before").await?;
                    s.delete("after").await?;
                    while s.delete(&key[..]).await? {}
                    make(s, kind, &key).await?;
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::WrongType, "{write:?}: {e:?}"),
            }
            assert_eq!(s.get("before").await?, None, "{write:?} on a {kind}");
            assert!(s.smembers("after").await?.is_empty(), "{write:?} on a {kind}");
            assert!(is_intact(s, kind, &key).await?, "{write:?} on a {kind}");
        }
    }
    Ok(())
}

/// Whether `write` is a conditional `set`, which does not see a sorted set, so that its condition
/// fails.
fn unseen(write: &Write, kind: &str) -> bool {
    kind == "sorted" && matches!(write.name(), "set_xx" | "set_eq")
}

pub(crate) async fn conditions_see_strings_counters_sets_and_hashes(s: Store) -> Result<()> {
    s.incr_by("counter", 1).await?;
    s.sadd("set", ["a"]).await?;
    s.hset("hash", [("f", "v")]).await?;
    s.sadd("emptied", ["a"]).await?;
    s.srem("emptied", ["a"]).await?;
    let mut tx = s.atomic_write();
    for key in ["counter", "set", "hash", "emptied"] {
        tx.set_nx(key, "x");
    }
    let Outcome::ConditionFailed(failed) = tx.exec().await? else { panic!("three are there") };
    assert_eq!(failed.indices(), [0, 1, 2]);
    let mut tx = s.atomic_write();
    tx.set_xx("counter", "x");
    tx.delete_xx("set");
    tx.set_xx("hash", "x");
    tx.set_nx("emptied", "x");
    assert_eq!(tx.exec().await?, Outcome::Committed);
    assert!(!s.delete("set").await?);
    for key in ["counter", "hash", "emptied"] {
        assert_eq!(s.get(key).await?.unwrap(), "x", "{key}");
    }
    Ok(())
}

pub(crate) async fn conditions_of_set_do_not_see_sorted_sets(given: Given) -> Result<()> {
    let s = &given.store;
    s.zhadd("z", "f", "v", 1.0).await?;
    for condition in 0..3 {
        let mut tx = s.atomic_write();
        tx.set("other", "x");
        let handle = match condition {
            0 => tx.set_xx("z", "x"),
            1 => tx.set_eq("z", "x", "v"),
            _ => tx.set_nx("z", "x"),
        };
        match tx.exec().await {
            Err(e) => assert_eq!(e.kind(), ErrorKind::WrongType, "condition {condition}: {e:?}"),
            Ok(Outcome::ConditionFailed(failed)) => {
                assert!(condition < 2 && failed.contains(handle), "condition {condition}");
            }
            Ok(Outcome::Committed) if given.sees_types => panic!("the sorted set was overwritten"),
            Ok(Outcome::Committed) => {
                // Written as if the key did not exist.
                assert_eq!(condition, 2);
                assert_eq!(s.get("z").await?.unwrap(), "x");
                return Ok(());
            }
        }
        assert_eq!(s.get("other").await?, None, "condition {condition}");
        assert_eq!(s.zhrange("z").await?, ["v"], "condition {condition}");
    }
    Ok(())
}

pub(crate) async fn an_atomic_delete_leaves_a_sorted_set(s: Store) -> Result<()> {
    s.zhadd("z", "f", "v", 1.0).await?;
    let mut tx = s.atomic_write();
    tx.delete("z");
    tx.set("other", "x");
    match tx.exec().await {
        Ok(outcome) => assert_eq!(outcome, Outcome::Committed),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::WrongType, "{e:?}");
            assert_eq!(s.get("other").await?, None);
        }
    }
    assert_eq!(s.zhrange("z").await?, ["v"]);
    let mut tx = s.atomic_write();
    let delete = tx.delete_xx("z");
    tx.set("another", "x");
    match tx.exec().await {
        Ok(Outcome::ConditionFailed(failed)) => assert!(failed.contains(delete)),
        Ok(Outcome::Committed) => panic!("`delete_xx` has removed nothing"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::WrongType, "{e:?}"),
    }
    assert_eq!(s.zhrange("z").await?, ["v"]);
    assert_eq!(s.get("another").await?, None);
    Ok(())
}

/// Regression: the delete removed nothing, and the other writes were applied.
pub(crate) async fn an_atomic_delete_of_a_sorted_set_is_wrong_type(s: Store) -> Result<()> {
    s.zadd("set", "m", 1.0).await?;
    s.zhadd("hash", "f", "v", 1.0).await?;
    for (key, must_exist) in [("set", false), ("hash", false), ("set", true), ("hash", true)] {
        let mut tx = s.atomic_write();
        tx.set("other", "x");
        tx.push(Delete::new(key).must_exist(must_exist));
        tx.zadd("z", "m", 1.0);
        let error = assert_kind(tx.exec().await, ErrorKind::WrongType);
        assert!(error.to_string().contains("write 1"), "{error}");
        assert_eq!(s.get("other").await?, None);
        assert_eq!(s.zcount("z", ..).await?, 0);
    }
    assert_eq!(s.zrange("set").await?, ["m"]);
    assert_eq!(s.zhrange("hash").await?, ["v"]);
    // A failed condition takes precedence over the error.
    let mut tx = s.atomic_write();
    tx.delete("set");
    let failing = tx.set_xx("missing", "x");
    let Outcome::ConditionFailed(failed) = tx.exec().await? else { panic!("nothing is there") };
    assert!(failed.contains(failing));
    assert_eq!(failed.indices(), [1]);
    // An emptied key has no type.
    s.zrem("set", "m").await?;
    let mut tx = s.atomic_write();
    tx.delete("set");
    tx.set("other", "x");
    assert!(tx.exec().await?.is_committed());
    assert_eq!(s.get("other").await?.unwrap(), "x");
    Ok(())
}

pub(crate) async fn one_key_as_a_sorted_set_and_as_another_type_is_refused(s: Store) -> Result<()> {
    for i in 0..3 {
        let mut tx = s.atomic_write();
        tx.set("other", "x");
        tx.zadd("k", "m", 1.0);
        match i {
            0 => tx.set("k", "x"),
            1 => tx.delete("k"),
            _ => tx.sadd("k", ["m"]),
        }
        let error = assert_kind(tx.exec().await, ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("1 (zadd) and 2"), "{error}");
    }
    assert_eq!(s.get("other").await?, None);
    assert!(!s.delete("k").await?);
    Ok(())
}
