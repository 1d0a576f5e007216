//! Limits, errors, consistency, and cancelled calls.

use super::*;
use crate::{Limits, Outcome};

pub(crate) async fn what_is_at_its_limit_is_taken(s: Store) -> Result<()> {
    let (key, name, value) = (vec![b'k'; 2_048], vec![b'n'; 1_016], patterned(390 * 1_024));
    s.set(&key[..], &value).await?;
    assert_eq!(s.get(&key[..]).await?.unwrap(), value[..]);
    assert!(s.delete(&key[..]).await?);
    s.sadd(&key[..], [&name]).await?;
    assert_eq!(s.smembers(&key[..]).await?, [&name[..]]);
    s.delete(&key[..]).await?;
    s.hset(&key[..], [(&name[..], b"v")]).await?;
    assert_eq!(s.hget(&key[..], &name).await?.unwrap(), "v");
    s.delete(&key[..]).await?;
    s.hset("hash", [("f", &value)]).await?;
    assert_eq!(s.hget("hash", "f").await?.unwrap(), value[..]);
    s.zhadd(&key[..], &name, &value, 1.5).await?;
    assert_eq!(s.zhget(&key[..], &name).await?.unwrap(), value[..]);
    assert_eq!(s.zrange(&key[..]).by_lex(&name[..]..).await?, [&name[..]]);
    s.delete(&key[..]).await?;
    Ok(())
}

pub(crate) async fn what_is_over_its_limit_is_refused_and_changes_nothing(s: Store) -> Result<()> {
    use ErrorKind::TooLarge;
    let (key, name, value) = (vec![b'k'; 2_049], vec![b'n'; 1_017], vec![0; 390 * 1_024 + 1]);
    s.set("k", "v").await?;
    assert_kind(s.get(&key[..]).await, TooLarge);
    assert_kind(s.set(&key[..], "v").await, TooLarge);
    assert_kind(s.set("k", &value).await, TooLarge);
    assert_kind(s.set_nx("new", &value).await, TooLarge);
    assert_kind(s.set_xx("k", &value).await, TooLarge);
    assert_kind(s.set_eq("k", &value, "v").await, TooLarge);
    assert_kind(s.set_eq("k", "v", &value).await, TooLarge);
    assert_kind(s.delete(&key[..]).await, TooLarge);
    assert_kind(s.incr_by(&key[..], 1).await, TooLarge);
    assert_kind(s.sadd("s", [&b"fine"[..], &name]).await, TooLarge);
    assert_kind(s.srem("s", [&name]).await, TooLarge);
    assert_kind(s.hset("h", [(&b"fine"[..], &b"v"[..]), (&name, b"v")]).await, TooLarge);
    assert_kind(s.hset("h", [("f", &value)]).await, TooLarge);
    assert_kind(s.hset_nx("h", "f", &value).await, TooLarge);
    assert_kind(s.hget("h", &name).await, TooLarge);
    assert_kind(s.hdel("h", [&name]).await, TooLarge);
    assert_kind(s.zadd("z", &name, 1.0).await, TooLarge);
    assert_kind(s.zadd_nx("z", &name, 1.0).await, TooLarge);
    assert_kind(s.zhadd("z", "f", &value, 1.0).await, TooLarge);
    assert_kind(s.zhadd_nx("z", "f", &value, 1.0).await, TooLarge);
    assert_kind(s.zhadd("z", &name, "v", 1.0).await, TooLarge);
    assert_kind(s.zscore("z", &name).await, TooLarge);
    assert_kind(s.zrem("z", &name).await, TooLarge);
    assert_kind(s.zincr_by("z", &name, 1.0).await, TooLarge);
    assert_kind(s.zhget("z", &name).await, TooLarge);
    assert_kind(s.zlexcount("z", &name[..]..).await, TooLarge);
    assert_kind(s.zrange("z").by_lex(..&name[..]).await, TooLarge);
    assert_kind(s.zrange(&key[..]).await, TooLarge);
    assert_eq!(s.get("k").await?.unwrap(), "v");
    assert_eq!(s.get("new").await?, None);
    assert!(s.smembers("s").await?.is_empty() && s.hgetall("h").await?.is_empty());
    assert!(s.zrange("z").await?.is_empty());
    Ok(())
}

pub(crate) async fn limits_hold_in_batches_and_atomic_writes(s: Store) -> Result<()> {
    use ErrorKind::{InvalidArgument, TooLarge};
    let (key, name, value) = (vec![b'k'; 2_049], vec![b'n'; 1_017], vec![0; 390 * 1_024 + 1]);
    let mut b = s.batch();
    let first = b.set_nx("first", "v");
    let large = [
        b.set(&key[..], "v"),
        b.set("k", &value),
        b.sadd("set", [&name]),
        b.hset("hash", [(&name, "v")]),
        b.hset("hash", [("f", &value)]),
        b.zadd("z", &name, 1.0),
        b.zhadd("z", "f", &value, 1.0),
    ];
    let empty = [b.set("", "v"), b.zadd("z", "", 1.0), b.zhrem("z", "")];
    let (read, last) = (b.get(&key[..]), b.incr_by("last", 1));
    let mut r = b.exec_each().await;
    assert!(r.take(first)?);
    large.into_iter().for_each(|handle| drop(assert_kind(r.take(handle), TooLarge)));
    empty.into_iter().for_each(|handle| drop(assert_kind(r.take(handle), InvalidArgument)));
    assert_kind(r.take(read), TooLarge);
    assert_eq!(r.take(last)?, 1);
    for i in 0..8 {
        let mut tx = s.atomic_write();
        tx.set("other", "v");
        match i {
            0 => tx.set(&key[..], "v"),
            1 => tx.set("k", &value),
            2 => tx.sadd("set", [&name]),
            3 => tx.hset("hash", [("f", &value)]),
            4 => tx.zadd("z", &name, 1.0),
            5 => tx.zhadd("z", "f", &value, 1.0),
            6 => tx.set("", "v"),
            _ => tx.zadd("z", "", 1.0),
        }
        assert_kind(tx.exec().await, if i < 6 { TooLarge } else { InvalidArgument });
        assert_eq!(s.get("other").await?, None, "{i}");
    }
    for key in ["k", "set", "hash", "z"] {
        assert!(!s.delete(key).await?, "{key}");
    }
    Ok(())
}

pub(crate) async fn a_collection_too_large_for_the_backend_is_refused_whole(
    s: Store,
) -> Result<()> {
    let member = |i: usize| format!("{i:06}{}", "x".repeat(1_000));
    s.sadd("set", ["before"]).await?;
    s.hset("hash", [("before", "v")]).await?;
    let mut b = s.batch();
    b.set("first", "v");
    let sadd = b.sadd("set", (0..3_000).map(member));
    let hset = b.hset("hash", (0..3_000).map(|i| (i, member(i))));
    let last = b.incr_by("last", 1);
    let mut r = b.exec_each().await;
    let (set, hash) = (s.smembers("set").await?, s.hgetall("hash").await?);
    for (added, len) in [(r.take(sadd), set.len()), (r.take(hset), hash.len())] {
        match added {
            Ok(()) => assert_eq!(len, 3_001),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::TooLarge, "{e:?}");
                assert_eq!(len, 1);
            }
        }
    }
    assert_eq!(r.take(last)?, 1);
    assert_eq!(s.get("first").await?.unwrap(), "v");
    // A set that grows by 100 members a call: each call is applied whole, or fails.
    let mut there = 0;
    for part in 0..6 {
        match s.sadd("grown", (0..100).map(|i| member(part * 100 + i))).await {
            Ok(()) => there += 100,
            Err(e) => assert_eq!(e.kind(), ErrorKind::TooLarge, "{e:?}"),
        }
    }
    assert_eq!(s.smembers("grown").await?.len(), there);
    Ok(())
}

pub(crate) async fn empty_keys_and_empty_sorted_members_are_refused(s: Store) -> Result<()> {
    use ErrorKind::InvalidArgument;
    assert_kind(s.get("").await, InvalidArgument);
    assert_kind(s.set("", "v").await, InvalidArgument);
    assert_kind(s.delete("").await, InvalidArgument);
    assert_kind(s.zrange("").await, InvalidArgument);
    assert_kind(s.zadd("z", "", 1.0).await, InvalidArgument);
    assert_kind(s.zadd_nx("z", "", 1.0).await, InvalidArgument);
    assert_kind(s.zhadd("z", "", "v", 1.0).await, InvalidArgument);
    assert_kind(s.zincr_by("z", "", 1.0).await, InvalidArgument);
    assert_kind(s.zscore("z", "").await, InvalidArgument);
    assert_kind(s.zrem("z", "").await, InvalidArgument);
    assert_kind(s.zhget("z", "").await, InvalidArgument);
    assert!(!s.delete("z").await?);
    Ok(())
}

pub(crate) async fn errors_tell_the_operation_and_no_data(s: Store) -> Result<()> {
    // A hash tag, because an atomic write is limited to one slot of a cluster.
    s.set("{secret}-key", "secret-value").await?;
    let error = assert_kind(s.incr_by("{secret}-key", 1).await, ErrorKind::WrongType);
    assert_eq!(error.operation(), Some("incr_by"));
    assert!(!error.is_retryable());
    let mut tx = s.atomic_write();
    tx.set("{secret}-key", "secret-value");
    tx.set_nx("{secret}-key", "secret-value");
    let twice = assert_kind(tx.exec().await, ErrorKind::InvalidArgument);
    let nan =
        assert_kind(s.zadd("{secret}-key", "secret-m", f64::NAN).await, ErrorKind::InvalidArgument);
    let mut tx = s.atomic_write();
    tx.set("{secret}-other", "secret-value");
    tx.incr_by("{secret}-key", 1);
    let atomic = assert_kind(tx.exec().await, ErrorKind::WrongType);
    assert!(atomic.to_string().contains("write 1"), "the position is missing: {atomic}");
    assert_eq!((atomic.operation(), nan.operation()), (Some("atomic_write"), Some("zadd")));
    assert_eq!(twice.operation(), Some("atomic_write"));
    let mut b = s.batch();
    let (incr, long) = (b.incr_by("{secret}-key", 1), b.hget("secret-h", "secret".repeat(200)));
    let not_one = b.zincr_by("{secret}-key", "secret-m", f64::NAN);
    let mut r = b.exec_each().await;
    let incr = assert_kind(r.take(incr), ErrorKind::WrongType);
    let long = assert_kind(r.take(long), ErrorKind::TooLarge);
    assert_eq!((incr.operation(), long.operation()), (Some("incr_by"), Some("hget")));
    let not_one = assert_kind(r.take(not_one), ErrorKind::InvalidArgument);
    assert_eq!(not_one.operation(), Some("zincr_by"));
    for error in [error, twice, nan, atomic, incr, long] {
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("secret"), "{text}");
        }
    }
    Ok(())
}

pub(crate) async fn lifted_limits_are_the_backends_own(s: Store) -> Result<()> {
    let free = s.with_limits(Limits::NONE);
    // A call within the portable limits works as before. One that exceeds them is applied or fails.
    free.set("k", "v").await?;
    let value = patterned(391 * 1_024);
    match free.set("long", &value).await {
        Ok(()) => assert_eq!(free.get("long").await?.unwrap(), value[..]),
        Err(e) => assert_eq!(e.kind(), ErrorKind::TooLarge),
    }
    let member = vec![b'm'; 1_017];
    match free.zadd("z", &member, 1.0).await {
        Ok(()) => assert_eq!(s.zrange("z").await?, [&member[..]]),
        Err(e) => assert_eq!(e.kind(), ErrorKind::TooLarge),
    }
    let mut tx = free.atomic_write();
    for i in 0..101 {
        tx.set(format!("k{i}"), i);
    }
    match tx.exec().await {
        Ok(outcome) => {
            assert_eq!(outcome, Outcome::Committed);
            assert_eq!(s.get("k100").await?.unwrap(), "100");
        }
        Err(_) => assert_eq!(s.get("k100").await?, None),
    }
    assert_eq!(s.get("k").await?.unwrap(), "v");
    Ok(())
}

pub(crate) async fn limits_can_be_narrowed_and_widened_again(s: Store) -> Result<()> {
    use ErrorKind::{InvalidArgument, TooLarge};
    let narrow = Limits::PORTABLE.max_key_len(3).max_member_len(3).max_value_len(3);
    let narrow = narrow.max_atomic_writes(2);
    let narrow = s.with_limits(narrow);
    narrow.set("key", "val").await?;
    assert_kind(narrow.set("long", "val").await, TooLarge);
    assert_kind(narrow.set("key", "long").await, TooLarge);
    assert_kind(narrow.sadd("set", ["long"]).await, TooLarge);
    assert_kind(narrow.zadd("z", "long", 1.0).await, TooLarge);
    let mut tx = narrow.atomic_write();
    (0..3).for_each(|i| tx.set(i.to_string(), "v"));
    assert_kind(tx.exec().await, InvalidArgument);
    narrow.with_limits(Limits::PORTABLE).set("long", "long").await?;
    assert_eq!(s.get("long").await?.unwrap(), "long");
    assert_eq!(s.get("key").await?.unwrap(), "val");
    Ok(())
}

pub(crate) async fn clones_share_the_data(s: Store) -> Result<()> {
    let other = s.clone();
    s.set("k", "v").await?;
    assert_eq!(other.get("k").await?.unwrap(), "v");
    other.delete("k").await?;
    assert_eq!(s.get("k").await?, None);
    Ok(())
}

pub(crate) async fn eventual_reads_come_to_see_every_write(s: Store) -> Result<()> {
    let eventual = s.eventually_consistent();
    s.set("k", "v").await?;
    s.zhadd("z", "f", "v", 1.0).await?;
    for _ in 0..500 {
        let mut b = eventual.batch();
        let (get, range) = (b.get("k"), b.zhrange("z").queue());
        let mut r = b.exec().await?;
        if r.take(get)?.is_some() && r.take(range)? == ["v"] {
            assert_eq!(eventual.get("k").await?.unwrap(), "v");
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("an eventual read does not see the write after five seconds");
}

pub(crate) async fn a_strong_read_sees_the_write_that_was_answered(s: Store) -> Result<()> {
    for i in 0..50 {
        s.set("k", i).await?;
        assert_eq!(s.get("k").await?.unwrap().to::<i32>()?, i);
        s.zadd("z", "m", f64::from(i)).await?;
        assert_eq!(s.zrange("z").with_scores().await?, scored(&[("m", f64::from(i))]));
        s.incr_by("n", 1).await?;
        assert_eq!(s.clone().get("n").await?.unwrap().to::<i32>()?, i + 1);
    }
    Ok(())
}

pub(crate) async fn a_dropped_call_leaves_a_whole_write_or_none(s: Store) -> Result<()> {
    for i in 0..50 {
        let mut tx = s.atomic_write();
        tx.set("a", i);
        tx.zhadd("z", "m", i, f64::from(i));
        // Polled at least once, then dropped after at most 120 µs.
        let wait = std::time::Duration::from_micros(20 * (i as u64 % 7));
        let _ = tokio::time::timeout(wait, tx.exec()).await;
    }
    // Dropped calls may still be in flight when a later write commits, but not for five seconds.
    let mut tx = s.atomic_write();
    tx.set_nx("end", "x");
    tx.zincr_by("other", "m", 1.0);
    assert_eq!(tx.exec().await?, Outcome::Committed);
    for _ in 0..500 {
        let (a, z) = (s.get("a").await?, s.zhget("z", "m").await?);
        if a == z {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("an atomic write was applied in part");
}
