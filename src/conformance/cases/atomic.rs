//! Atomic writes: all or nothing, and the outcome lists every failed condition.

use super::*;
use crate::{Outcome, ToValue};

pub(crate) async fn no_writes_commit(s: Store) -> Result<()> {
    assert_eq!(s.atomic_write().exec().await?, Outcome::Committed);
    Ok(())
}

pub(crate) async fn every_kind_of_write_is_applied(s: Store) -> Result<()> {
    s.set("old", "1").await?;
    s.set("eq", "1").await?;
    s.set("xx", "1").await?;
    s.sadd("set", ["a", "b"]).await?;
    s.hset("hash", [("f", "1"), ("g", "2")]).await?;
    s.zhadd("z", "f", "v", 1.0).await?;
    s.zadd("z", "m", 1.0).await?;
    let mut tx = s.atomic_write();
    tx.set("new", "v");
    tx.delete("old");
    tx.delete("missing");
    tx.set_nx("nx", "v");
    tx.set_xx("xx", "2");
    tx.set_eq("eq", "2", "1");
    tx.incr_by("n", 3);
    tx.sadd("set", ["c"]);
    tx.srem("set2", ["c"]);
    tx.hset("hash", [("f", "3")]);
    tx.hdel("hash2", ["f"]);
    tx.hset_nx("hash3", "f", "v");
    tx.zadd("z", "new", 0.0);
    tx.zadd_nx("z", "new2", 0.5);
    tx.zincr_by("z", "f", 5.0);
    tx.zrem("z", "m");
    tx.zhadd("zh", "f", "v", 1.0);
    tx.zhadd_nx("zh", "g", "w", 2.0);
    tx.zhrem("zh", "missing");
    assert_eq!(tx.exec().await?, Outcome::Committed);
    assert_eq!(s.get("new").await?.unwrap(), "v");
    assert_eq!(s.get("old").await?, None);
    for (key, value) in [("nx", "v"), ("xx", "2"), ("eq", "2"), ("n", "3")] {
        assert_eq!(s.get(key).await?.unwrap(), value, "{key}");
    }
    assert_eq!(members(&s, "set").await?, ["a", "b", "c"]);
    assert!(!s.delete("set2").await? && !s.delete("hash2").await?);
    assert_eq!(s.hget("hash", "f").await?.unwrap(), "3");
    assert_eq!(s.hget("hash", "g").await?.unwrap(), "2");
    assert_eq!(s.hget("hash3", "f").await?.unwrap(), "v");
    assert_eq!(
        s.zhrange("z").with_scores().await?,
        scored(&[("new", 0.0), ("new2", 0.5), ("v", 6.0)])
    );
    assert_eq!(s.zhrange("zh").await?, ["v", "w"]);
    Ok(())
}

pub(crate) async fn an_atomic_write_changes_what_is_there(s: Store) -> Result<()> {
    for key in ["set over", "gone"] {
        s.set(key, "old").await?;
    }
    s.sadd("set", ["a", "b"]).await?;
    s.hset("hash", [("f", "old"), ("g", "old")]).await?;
    s.hset("hash2", [("f", "old"), ("g", "old")]).await?;
    for field in ["a", "b", "c", "d", "e"] {
        s.zhadd("z", field, "old", 1.0).await?;
    }
    s.sadd("last member", ["a"]).await?;
    s.hset("last field", [("f", "v")]).await?;
    s.zhadd("last sorted", "f", "v", 1.0).await?;
    let mut tx = s.atomic_write();
    tx.set("set over", "new");
    tx.delete("gone");
    tx.srem("set", ["a", "x"]);
    tx.hset("hash", [("f", "1"), ("h", "2"), ("f", "3")]);
    tx.hdel("hash2", ["g", "g", "x"]);
    tx.zadd("z", "a", 2.0);
    tx.zhadd("z", "b", "new", 3.0);
    tx.zrem("z", "c");
    tx.zhrem("z", "d");
    tx.zincr_by("z", "e", 4.0);
    tx.srem("last member", ["a"]);
    tx.hdel("last field", ["f"]);
    tx.zrem("last sorted", "f");
    assert_eq!(tx.exec().await?, Outcome::Committed);
    assert_eq!(s.get("set over").await?.unwrap(), "new");
    assert_eq!(s.get("gone").await?, None);
    assert_eq!(s.smembers("set").await?, ["b"]);
    let hash = s.hgetall("hash").await?;
    assert_eq!((hash.len(), &hash[&b"f"[..]], &hash[&b"g"[..]]), (3, &"3".into(), &"old".into()));
    assert_eq!(s.hgetall("hash2").await?.into_keys().collect::<Vec<_>>(), ["f"]);
    assert_eq!(
        s.zhrange("z").with_scores().await?,
        scored(&[("a", 2.0), ("new", 3.0), ("old", 5.0)])
    );
    for key in ["last member", "last field", "last sorted"] {
        assert!(!s.delete(key).await?, "{key}");
    }
    Ok(())
}

pub(crate) async fn every_kind_of_condition_can_fail_and_writes_nothing(s: Store) -> Result<()> {
    s.set("there", "1").await?;
    s.hset("hash", [("f", "1")]).await?;
    s.zhadd("z", "f", "v", 1.0).await?;
    for condition in 0..9 {
        let mut tx = s.atomic_write();
        tx.set("other", "x");
        tx.zadd("z", "other", 0.0);
        let handle = match condition {
            0 => tx.set_nx("there", "2"),
            1 => tx.set_xx("missing", "2"),
            2 => tx.set_eq("there", "2", "3"),
            3 => tx.set_eq("missing", "2", ""),
            4 => tx.delete_xx("missing"),
            5 => tx.hset_nx("hash", "f", "2"),
            6 => tx.zadd_nx("z", "f", 2.0),
            7 => tx.zhadd_nx("z", "f", "w", 2.0),
            _ => tx.set_nx("hash", "2"),
        };
        let innocent = tx.set_nx("innocent", "x");
        match tx.exec().await? {
            Outcome::Committed => panic!("condition {condition} does not hold"),
            Outcome::ConditionFailed(failed) => {
                assert!(failed.contains(handle), "condition {condition}");
                assert!(!failed.contains(innocent), "condition {condition}");
                assert_eq!(failed.indices(), [2], "condition {condition}");
            }
        }
        assert_eq!(s.get("other").await?, None, "condition {condition}");
        assert_eq!(s.get("innocent").await?, None, "condition {condition}");
        assert_eq!(s.get("missing").await?, None, "condition {condition}");
        assert_eq!(s.get("there").await?.unwrap(), "1", "condition {condition}");
        assert_eq!(s.hget("hash", "f").await?.unwrap(), "1", "condition {condition}");
        assert_eq!(s.zhrange("z").with_scores().await?, scored(&[("v", 1.0)]), "{condition}");
    }
    Ok(())
}

pub(crate) async fn every_kind_of_condition_can_hold(s: Store) -> Result<()> {
    s.set("a", "1").await?;
    s.incr_by("b", 2).await?;
    s.set("c", "3").await?;
    let mut tx = s.atomic_write();
    let handles = [
        tx.set_xx("a", "x"),
        tx.set_eq("b", "x", 2),
        tx.delete_xx("c"),
        tx.set_nx("d", "x"),
        tx.hset_nx("e", "f", "x"),
        tx.zadd_nx("f", "m", 1.0),
        tx.zhadd_nx("f", "n", "x", 1.0),
    ];
    let outcome = tx.exec().await?;
    assert_eq!(outcome, Outcome::Committed, "{handles:?}");
    assert_eq!(s.get("b").await?.unwrap(), "x");
    assert_eq!(s.get("c").await?, None);
    assert_eq!(s.zcount("f", ..).await?, 2);
    Ok(())
}

pub(crate) async fn every_failed_condition_is_told(s: Store) -> Result<()> {
    s.set("a", "1").await?;
    s.set("b", "1").await?;
    s.zadd("z", "m", 1.0).await?;
    let mut tx = s.atomic_write();
    let a = tx.set_nx("a", "2");
    let fine = tx.set_nx("c", "2");
    let b = tx.set_eq("b", "2", "x");
    let z = tx.zadd_nx("z", "m", 2.0);
    let also_fine = tx.set_eq("d", "2", "x");
    let Outcome::ConditionFailed(failed) = tx.exec().await? else {
        panic!("four conditions do not hold")
    };
    assert!(failed.contains(a) && failed.contains(b) && failed.contains(z));
    assert!(!failed.contains(fine));
    assert!(failed.contains(also_fine), "a missing key equals nothing");
    assert_eq!(failed.indices(), [0, 2, 3, 4]);
    Ok(())
}

pub(crate) async fn conditions_are_judged_before_any_write(s: Store) -> Result<()> {
    s.set("a", "1").await?;
    let mut tx = s.atomic_write();
    let a = tx.set_eq("a", "2", "1");
    let b = tx.set_eq("b", "2", "1");
    let Outcome::ConditionFailed(failed) = tx.exec().await? else { panic!("b is missing") };
    assert!(!failed.contains(a) && failed.contains(b));
    // Each condition sees the sorted set as it was before the atomic write.
    let mut tx = s.atomic_write();
    tx.zadd_nx("z", "m", 1.0);
    tx.zadd_nx("z", "n", 1.0);
    tx.zrem("z", "o");
    tx.zincr_by("z", "p", 1.0);
    assert_eq!(tx.exec().await?, Outcome::Committed);
    assert_eq!(s.zrange("z").await?, ["m", "n", "p"]);
    Ok(())
}

pub(crate) async fn a_hundred_writes_are_atomic(s: Store) -> Result<()> {
    s.set("k99", "there").await?;
    let fill = |last: &'static str| {
        let mut tx = s.atomic_write();
        for i in 0..99 {
            match i % 3 {
                0 => tx.set(format!("k{i}"), i),
                1 => tx.zhadd("z", format!("f{i}"), i, 0.0),
                _ => tx.sadd(format!("k{i}"), [i]),
            }
        }
        tx.set_eq("k99", "done", last);
        tx
    };
    let Outcome::ConditionFailed(failed) = fill("elsewhere").exec().await? else {
        panic!("the last condition does not hold")
    };
    assert_eq!(failed.indices(), [99]);
    assert_eq!(s.get("k0").await?, None);
    assert_eq!(s.zcount("z", ..).await?, 0);
    assert_eq!(fill("there").exec().await?, Outcome::Committed);
    assert_eq!(s.get("k96").await?.unwrap(), "96");
    assert_eq!(s.zcount("z", ..).await?, 33);
    assert_eq!(members(&s, "k98").await?, ["98"]);
    Ok(())
}

pub(crate) async fn more_than_a_hundred_writes_are_refused(s: Store) -> Result<()> {
    let mut tx = s.atomic_write();
    for i in 0..101 {
        tx.set(format!("k{i}"), i);
    }
    assert_kind(tx.exec().await, ErrorKind::InvalidArgument);
    assert_eq!(s.get("k0").await?, None);
    Ok(())
}

pub(crate) async fn one_item_twice_is_refused_by_name(s: Store) -> Result<()> {
    let mut tx = s.atomic_write();
    tx.set("a", "1");
    tx.hset("b", [("f", "1")]);
    tx.zadd("z", "m", 1.0);
    tx.hset("b", [("g", "1")]);
    let error = assert_kind(tx.exec().await, ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("1 (hset) and 3 (hset)"), "{error}");
    let mut tx = s.atomic_write();
    tx.zadd("z", "m", 1.0);
    tx.zhrem("z", "m");
    assert_kind(tx.exec().await, ErrorKind::InvalidArgument);
    assert_eq!(s.get("a").await?, None);
    assert!(s.zrange("z").await?.is_empty());
    Ok(())
}

pub(crate) async fn one_write_may_be_of_many_members(s: Store) -> Result<()> {
    let mut tx = s.atomic_write();
    tx.sadd("set", 0..1_000);
    tx.hset("hash", (0..200).map(|i| (i, i + 1)));
    assert_eq!(tx.exec().await?, Outcome::Committed);
    assert_eq!(s.smembers("set").await?.len(), 1_000);
    let hash = s.hgetall("hash").await?;
    assert_eq!((hash.len(), &hash[&b"199"[..]]), (200, &"200".into()));
    let mut tx = s.atomic_write();
    tx.srem("set", 1..1_000);
    tx.hdel("hash", 0..199);
    assert_eq!(tx.exec().await?, Outcome::Committed);
    assert_eq!(s.smembers("set").await?, ["0"]);
    assert_eq!(s.hgetall("hash").await?.into_values().collect::<Vec<_>>(), ["200"]);
    Ok(())
}

pub(crate) async fn a_refused_argument_refuses_the_whole(s: Store) -> Result<()> {
    let long = vec![0; 1_017];
    for i in 0..4 {
        let mut tx = s.atomic_write();
        tx.set("a", "1");
        let kind = match i {
            0 => {
                tx.zadd("z", "m", f64::NAN);
                ErrorKind::InvalidArgument
            }
            1 => {
                tx.set("", "1");
                ErrorKind::InvalidArgument
            }
            2 => {
                tx.sadd("s", [&long]);
                ErrorKind::TooLarge
            }
            _ => {
                tx.set("b", Unwritable);
                ErrorKind::InvalidArgument
            }
        };
        assert_kind(tx.exec().await, kind);
        assert_eq!(s.get("a").await?, None);
    }
    Ok(())
}

struct Unwritable;

impl ToValue for Unwritable {
    fn to_value(&self) -> Result<Value> {
        Err(Error::new(ErrorKind::InvalidArgument, "this has no bytes"))
    }
}

pub(crate) async fn an_error_in_the_middle_applies_nothing(s: Store) -> Result<()> {
    s.set("text", "x").await?;
    s.incr_by("max", i64::MAX).await?;
    s.zadd("z", "inf", f64::INFINITY).await?;
    for i in 0..3 {
        let mut tx = s.atomic_write();
        tx.set("a", "1");
        tx.sadd("b", ["1"]);
        let kind = match i {
            0 => {
                tx.incr_by("text", 1);
                ErrorKind::WrongType
            }
            1 => {
                tx.incr_by("max", 1);
                ErrorKind::Overflow
            }
            _ => {
                tx.zincr_by("z", "inf", f64::NEG_INFINITY);
                ErrorKind::Overflow
            }
        };
        tx.zadd("c", "m", 1.0);
        assert_kind(tx.exec().await, kind);
        assert_eq!(s.get("a").await?, None, "{kind:?}");
        assert!(s.smembers("b").await?.is_empty(), "{kind:?}");
        assert_eq!(s.zcount("c", ..).await?, 0, "{kind:?}");
    }
    assert_eq!(s.get("text").await?.unwrap(), "x");
    Ok(())
}

pub(crate) async fn a_failed_condition_is_told_before_an_error(s: Store) -> Result<()> {
    s.set("text", "x").await?;
    s.incr_by("max", i64::MAX).await?;
    for wrong in ["text", "max"] {
        let mut tx = s.atomic_write();
        tx.set("other", "x");
        let first = tx.set_xx("missing", "y");
        tx.incr_by(wrong, 1);
        let fine = tx.hset_nx("hash", "f", "v");
        let last = tx.set_eq("missing, too", "x", "");
        let Outcome::ConditionFailed(failed) = tx.exec().await? else { panic!("two do not hold") };
        assert!(failed.contains(first) && !failed.contains(fine) && failed.contains(last));
        assert_eq!(failed.indices(), [1, 4], "{wrong}");
        assert_eq!(s.get("other").await?, None);
        assert!(s.hgetall("hash").await?.is_empty());
    }
    Ok(())
}

pub(crate) async fn atomic_writes_leave_no_stale_values(s: Store) -> Result<()> {
    s.zhadd("z", "f", patterned(3_000), 1.0).await?;
    s.zhadd("z", "g", "stale", 1.0).await?;
    let mut tx = s.atomic_write();
    tx.zadd("z", "f", 2.0);
    tx.zhrem("z", "g");
    assert_eq!(tx.exec().await?, Outcome::Committed);
    s.zadd("z", "g", 3.0).await?;
    assert_eq!(s.zhrange("z").await?, ["f", "g"]);
    Ok(())
}

pub(crate) async fn long_values_are_written_atomically(s: Store) -> Result<()> {
    let value = patterned(200_000);
    s.set("a", "there").await?;
    let mut tx = s.atomic_write();
    tx.set("long", &value);
    tx.zhadd("z", "f", &value, 1.0);
    tx.set_nx("a", "x");
    assert!(!tx.exec().await?.is_committed());
    assert_eq!(s.get("long").await?, None);
    let mut tx = s.atomic_write();
    tx.set("long", &value);
    tx.zhadd("z", "f", &value, 1.0);
    tx.hset("hash", [("f", &value)]);
    assert!(tx.exec().await?.is_committed());
    assert_eq!(s.get("long").await?.unwrap(), value[..]);
    assert_eq!(s.zhget("z", "f").await?.unwrap(), value[..]);
    assert_eq!(s.hget("hash", "f").await?.unwrap(), value[..]);
    Ok(())
}

pub(crate) async fn a_handle_of_another_atomic_write_did_not_fail(s: Store) -> Result<()> {
    s.set("k", "v").await?;
    let (mut a, mut b) = (s.atomic_write(), s.atomic_write());
    let (of_a, of_b) = (a.set_nx("k", "x"), b.set_nx("k", "x"));
    let Outcome::ConditionFailed(failed) = b.exec().await? else { panic!("k is there") };
    assert!(failed.contains(of_b) && !failed.contains(of_a));
    Ok(())
}

pub(crate) async fn of_many_who_claim_two_names_one_gets_both(s: Store) -> Result<()> {
    let committed = together(12, |i| {
        let s = s.clone();
        async move {
            let mut tx = s.atomic_write();
            // Half of the tasks write in the reverse order.
            let names = if i % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
            for name in names {
                tx.set_nx(name, i);
            }
            tx.incr_by("winners", 1);
            loop {
                match tx_outcome(tx.exec().await)? {
                    Some(committed) => return Ok(committed),
                    None => {
                        tx = s.atomic_write();
                        tx.set_nx("a", i);
                        tx.set_nx("b", i);
                        tx.incr_by("winners", 1);
                    }
                }
            }
        }
    })
    .await?;
    assert_eq!(committed.iter().filter(|c| **c).count(), 1);
    assert_eq!(s.get("winners").await?.unwrap(), "1");
    assert_eq!(s.get("a").await?, s.get("b").await?);
    Ok(())
}

/// Whether the atomic write was committed, or `None` after a conflict, which is retried.
fn tx_outcome(outcome: Result<Outcome>) -> Result<Option<bool>> {
    match outcome {
        Ok(outcome) => Ok(Some(outcome.is_committed())),
        Err(e) if e.kind() == ErrorKind::Conflict => Ok(None),
        Err(e) => Err(e),
    }
}

pub(crate) async fn transfers_at_once_keep_the_sum(s: Store) -> Result<()> {
    for account in 0..4 {
        s.incr_by(format!("account{account}"), 100).await?;
    }
    together(6, |i| {
        let s = s.clone();
        async move {
            for j in 0..15 {
                let (from, to) = ((i + j) % 4, (i + 2 * j + 1) % 4);
                if from == to {
                    continue;
                }
                loop {
                    let mut tx = s.atomic_write();
                    tx.incr_by(format!("account{from}"), -7);
                    tx.incr_by(format!("account{to}"), 7);
                    tx.zincr_by("moves", from, 1.0);
                    if tx_outcome(tx.exec().await)?.is_some() {
                        break;
                    }
                }
            }
            Ok(())
        }
    })
    .await?;
    let mut sum = 0;
    for account in 0..4 {
        sum += s.get(format!("account{account}")).await?.unwrap().to::<i64>()?;
    }
    assert_eq!(sum, 400);
    let moves: f64 = s.zrange("moves").with_scores().await?.iter().map(|(_, score)| score).sum();
    let expected = (0..6).flat_map(|i| (0..15).map(move |j| (i, j)));
    let expected = expected.filter(|(i, j)| (i + j) % 4 != (i + 2 * j + 1) % 4).count();
    assert_eq!(moves, expected as f64);
    Ok(())
}
