//! Batches: each operation has its own result, and operations on one key run in order.

use super::*;
use crate::Value;

pub(crate) async fn a_batch_answers_every_kind_of_operation(s: Store) -> Result<()> {
    let mut b = s.batch();
    let set = b.set("s", "v");
    let nx = b.set_nx("nx", "v");
    let xx = b.set_xx("missing", "v");
    let eq = b.set_eq("missing", "v", "");
    let incr = b.incr_by("n", 4);
    let sadd = b.sadd("set", ["a", "b"]);
    let hset = b.hset("hash", [("f", "v")]);
    let hnx = b.hset_nx("hash2", "f", "v");
    let zadd = b.zadd("z", "m", 1.0);
    let znx = b.zadd_nx("z2", "m", 1.0);
    let zincr = b.zincr_by("z3", "m", 2.5);
    let zhadd = b.zhadd("zh", "f", "v", 1.0);
    let zhnx = b.zhadd_nx("zh2", "f", "v", 1.0);
    let delete = b.delete("missing2");
    let (srem, hdel) = (b.srem("set2", ["a"]), b.hdel("hash3", ["f"]));
    let (zrem, zhrem) = (b.zrem("z4", "m"), b.zhrem("z5", "m"));
    let mut r = b.exec().await?;
    for done in [set, sadd, hset, zadd, zhadd, srem, hdel, zrem, zhrem] {
        r.take(done)?;
    }
    assert!(r.take(nx)? && !r.take(xx)? && !r.take(eq)?);
    assert!(r.take(hnx)? && r.take(znx)? && r.take(zhnx)? && !r.take(delete)?);
    assert_eq!((r.take(incr)?, r.take(zincr)?), (4, 2.5));

    let mut b = s.batch();
    let get = b.get("s");
    let gone = b.get("missing");
    let smembers = b.smembers("set");
    let (hget, hgetall) = (b.hget("hash", "f"), b.hgetall("hash"));
    let (zscore, zcount) = (b.zscore("z", "m"), b.zcount("z", 0.0..));
    let zlexcount = b.zlexcount("z", "a"..);
    let zrange = b.zrange("z").with_scores().queue();
    let (zhget, zhrange) = (b.zhget("zh", "f"), b.zhrange("zh").by_score(1.0..).queue());
    let delete = b.delete_xx("nx");
    let mut r = b.exec().await?;
    assert_eq!((r.take(get)?.unwrap(), r.take(gone)?), ("v".into(), None));
    assert_eq!(r.take(smembers)?.len(), 2);
    assert_eq!(r.take(hget)?.unwrap(), "v");
    assert_eq!(r.take(hgetall)?.len(), 1);
    assert_eq!((r.take(zscore)?, r.take(zcount)?, r.take(zlexcount)?), (Some(1.0), 1, 1));
    assert_eq!(r.take(zrange)?, scored(&[("m", 1.0)]));
    assert_eq!((r.take(zhget)?.unwrap(), r.take(zhrange)?), ("v".into(), vec!["v".into()]));
    assert!(r.take(delete)?);
    Ok(())
}

pub(crate) async fn an_empty_batch_is_nothing(s: Store) -> Result<()> {
    let batch = s.batch();
    assert!(batch.is_empty());
    batch.exec().await?;
    Ok(())
}

pub(crate) async fn a_batch_keeps_the_order_on_one_key(s: Store) -> Result<()> {
    s.set("k", "old").await?;
    let mut b = s.batch();
    let before = b.get("k");
    b.set("k", "new");
    let after = b.get("k");
    let nx = b.set_nx("k", "x");
    b.delete("k");
    let gone = b.get("k");
    let nx2 = b.set_nx("k", "1");
    let n = b.incr_by("k", 1);
    let mut r = b.exec().await?;
    assert_eq!(r.take(before)?.unwrap(), "old");
    assert_eq!(r.take(after)?.unwrap(), "new");
    assert!(!r.take(nx)?);
    assert_eq!(r.take(gone)?, None);
    assert!(r.take(nx2)?);
    assert_eq!(r.take(n)?, 2);
    assert_eq!(s.get("k").await?.unwrap(), "2");
    Ok(())
}

pub(crate) async fn the_order_on_one_key_holds_for_collections(s: Store) -> Result<()> {
    let mut b = s.batch();
    b.sadd("set", ["a"]);
    let deleted = b.delete("set");
    let none = b.smembers("set");
    b.hset("hash", [("f", "1")]);
    b.hset("hash", [("f", "2"), ("g", "3")]);
    b.hdel("hash", ["g"]);
    let hash = b.hgetall("hash");
    b.zhadd("z", "f", "stale", 1.0);
    b.zadd("z", "f", 2.0);
    let moved = b.zincr_by("z", "f", 1.0);
    let values = b.zhrange("z").with_scores().queue();
    b.delete("z");
    let empty = b.zrange("z").queue();
    let mut r = b.exec().await?;
    assert!(r.take(deleted)? && r.take(none)?.is_empty());
    let hash = r.take(hash)?;
    assert_eq!((hash.len(), &hash[&b"f"[..]]), (1, &"2".into()));
    assert_eq!(r.take(moved)?, 3.0);
    assert_eq!(r.take(values)?, scored(&[("f", 3.0)]));
    assert!(r.take(empty)?.is_empty());
    assert!(!s.delete("set").await? && !s.delete("z").await?);
    Ok(())
}

pub(crate) async fn one_operation_that_fails_hides_no_other(s: Store) -> Result<()> {
    s.set("text", "x").await?;
    s.incr_by("max", i64::MAX).await?;
    let mut b = s.batch();
    let first = b.set("a", "1");
    let wrong = b.incr_by("text", 1);
    let overflow = b.incr_by("max", 1);
    let refused = b.zadd("z", "m", f64::NAN);
    let read = b.get("text");
    let last = b.incr_by("n", 1);
    let mut r = b.exec_each().await;
    r.take(first)?;
    assert_kind(r.take(wrong), ErrorKind::WrongType);
    assert_kind(r.take(overflow), ErrorKind::Overflow);
    assert_kind(r.take(refused), ErrorKind::InvalidArgument);
    assert_eq!(r.take(read)?.unwrap(), "x");
    assert_eq!(r.take(last)?, 1);
    assert_eq!(s.get("a").await?.unwrap(), "1");
    assert_eq!(s.get("n").await?.unwrap(), "1");
    Ok(())
}

pub(crate) async fn exec_tells_the_first_error_and_does_the_rest(s: Store) -> Result<()> {
    s.set("text", "x").await?;
    let mut b = s.batch();
    b.set("a", "1");
    b.incr_by("text", 1);
    b.set("b", "2");
    let error = assert_kind(b.exec().await.map(drop), ErrorKind::WrongType);
    assert_eq!(error.operation(), Some("incr_by"));
    assert_eq!(s.get("a").await?.unwrap(), "1");
    assert_eq!(s.get("b").await?.unwrap(), "2");
    Ok(())
}

pub(crate) async fn a_batch_may_be_large(s: Store) -> Result<()> {
    let mut b = s.batch();
    for i in 0..1_000 {
        b.set(format!("k{i}"), i);
    }
    b.exec().await?;
    let mut b = s.batch();
    let gets: Vec<_> = (0..1_010).map(|i| b.get(format!("k{i}"))).collect();
    let again = b.get("k7");
    let mut r = b.exec().await?;
    for (i, get) in gets.into_iter().enumerate() {
        let expected = (i < 1_000).then(|| Value::from(i.to_string()));
        assert_eq!(r.take(get)?, expected);
    }
    assert_eq!(r.take(again)?.unwrap(), "7");
    Ok(())
}

pub(crate) async fn a_batch_may_hold_megabytes(s: Store) -> Result<()> {
    let value = |i: usize| patterned(300 * 1_024 + i);
    let mut b = s.batch();
    for i in 0..12 {
        b.set(format!("k{i}"), value(i));
    }
    b.exec().await?;
    let mut b = s.batch();
    let gets: Vec<_> = (0..12).map(|i| b.get(format!("k{i}"))).collect();
    let mut r = b.exec().await?;
    for (i, get) in gets.into_iter().enumerate() {
        assert_eq!(r.take(get)?.unwrap(), value(i)[..], "{i}");
    }
    Ok(())
}

pub(crate) async fn a_hundred_increments_of_one_key_all_count(s: Store) -> Result<()> {
    let mut b = s.batch();
    let counts: Vec<_> = (0..100).map(|_| b.incr_by("k", 1)).collect();
    let scores: Vec<_> = (0..100).map(|_| b.zincr_by("z", "m", 1.0)).collect();
    let mut r = b.exec().await?;
    for (i, (count, score)) in counts.into_iter().zip(scores).enumerate() {
        assert_eq!(r.take(count)?, i as i64 + 1);
        assert_eq!(r.take(score)?, (i + 1) as f64);
    }
    Ok(())
}

pub(crate) async fn a_handle_of_another_batch_is_refused(s: Store) -> Result<()> {
    s.set("k", "v").await?;
    let (mut a, mut b) = (s.batch(), s.batch());
    let (of_a, _) = (a.get("k"), b.get("k"));
    assert_kind(b.exec().await?.take(of_a), ErrorKind::InvalidArgument);
    Ok(())
}

pub(crate) async fn a_batch_changes_what_is_there(s: Store) -> Result<()> {
    for key in ["set over", "nx", "xx", "eq", "gone", "gone, too"] {
        s.set(key, "old").await?;
    }
    s.sadd("set", ["a", "b"]).await?;
    s.hset("hash", [("f", "old"), ("g", "old")]).await?;
    for field in ["a", "b", "c", "d", "e", "f", "g"] {
        s.zhadd("z", field, "old", 1.0).await?;
    }
    let mut b = s.batch();
    b.set("set over", "new");
    let (nx, xx) = (b.set_nx("nx", "new"), b.set_xx("xx", "new"));
    let (not_eq, eq) = (b.set_eq("eq", "x", "new"), b.set_eq("eq", "new", "old"));
    let (delete, delete_xx) = (b.delete("gone"), b.delete_xx("gone, too"));
    b.sadd("set", ["c"]);
    b.srem("set", ["a"]);
    b.hset("hash", [("f", "new")]);
    let hnx = b.hset_nx("hash", "f", "x");
    b.hdel("hash", ["g"]);
    b.zadd("z", "a", 2.0);
    b.zhadd("z", "b", "new", 3.0);
    let (znx, zhnx) = (b.zadd_nx("z", "c", 9.0), b.zhadd_nx("z", "d", "x", 9.0));
    b.zrem("z", "e");
    b.zhrem("z", "f");
    let sum = b.zincr_by("z", "g", 4.0);
    let mut r = b.exec().await?;
    assert!(!r.take(nx)? && r.take(xx)? && !r.take(not_eq)? && r.take(eq)?);
    assert!(r.take(delete)? && r.take(delete_xx)?);
    assert!(!r.take(hnx)? && !r.take(znx)? && !r.take(zhnx)?);
    assert_eq!(r.take(sum)?, 5.0);
    for (key, value) in [("set over", "new"), ("nx", "old"), ("xx", "new"), ("eq", "new")] {
        assert_eq!(s.get(key).await?.unwrap(), value, "{key}");
    }
    assert_eq!((s.get("gone").await?, s.get("gone, too").await?), (None, None));
    assert_eq!(members(&s, "set").await?, ["b", "c"]);
    let hash = s.hgetall("hash").await?;
    assert_eq!((hash.len(), &hash[&b"f"[..]]), (1, &"new".into()));
    assert_eq!(
        s.zhrange("z").with_scores().await?,
        scored(&[("old", 1.0), ("old", 1.0), ("a", 2.0), ("new", 3.0), ("old", 5.0)])
    );
    Ok(())
}

pub(crate) async fn a_wrong_type_in_a_batch_stops_no_other(given: Given) -> Result<()> {
    let s = &given.store;
    s.set("text", "x").await?;
    s.sadd("set", ["a"]).await?;
    s.zadd("sorted", "m", 1.0).await?;
    let mut b = s.batch();
    let first = b.set("first", "1");
    let (get, smembers) = (b.get("set"), b.smembers("text"));
    let (hget, range) = (b.hget("sorted", "m"), b.zrange("text").queue());
    let (eq, incr) = (b.set_eq("set", "x", "a"), b.incr_by("text", 1));
    let last = b.incr_by("last", 1);
    let mut r = b.exec_each().await;
    r.take(first)?;
    given.wrong_type_or(r.take(get), None);
    given.wrong_type_or(r.take(smembers), Vec::new());
    given.wrong_type_or(r.take(hget), None);
    given.wrong_type_or(r.take(range), Vec::new());
    given.wrong_type_or(r.take(eq), false);
    assert_kind(r.take(incr), ErrorKind::WrongType);
    assert_eq!(r.take(last)?, 1);
    assert_eq!(s.get("first").await?.unwrap(), "1");
    assert_eq!(s.get("last").await?.unwrap(), "1");
    assert_eq!(s.get("text").await?.unwrap(), "x");
    assert_eq!(
        (s.smembers("set").await?, s.zrange("sorted").await?),
        (vec!["a".into()], vec!["m".into()])
    );
    Ok(())
}
