//! The portable limits, errors, values in and out, and what holds for the store as a whole.

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
    assert_kind(s.zhadd("z", "f", &value, 1.0).await, TooLarge);
    assert_kind(s.zscore("z", &name).await, TooLarge);
    assert_kind(s.zrem("z", &name).await, TooLarge);
    assert_kind(s.zincr_by("z", &name, 1.0).await, TooLarge);
    assert_kind(s.zhget("z", &name).await, TooLarge);
    assert_kind(s.zlexcount("z", &name[..]..).await, TooLarge);
    assert_kind(s.zrange("z").by_lex(..&name[..]).await, TooLarge);
    assert_eq!(s.get("k").await?.unwrap(), "v");
    assert_eq!(s.get("new").await?, None);
    assert!(s.smembers("s").await?.is_empty() && s.hgetall("h").await?.is_empty());
    assert!(s.zrange("z").await?.is_empty());
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
    s.set("secret-key", "secret-value").await?;
    let error = assert_kind(s.incr_by("secret-key", 1).await, ErrorKind::WrongType);
    assert_eq!(error.operation(), Some("incr_by"));
    assert!(!error.is_retryable());
    let mut tx = s.atomic_write();
    tx.set("secret-key", "secret-value");
    tx.set_nx("secret-key", "secret-value");
    let twice = assert_kind(tx.exec().await, ErrorKind::InvalidArgument);
    let nan =
        assert_kind(s.zadd("secret-key", "secret-m", f64::NAN).await, ErrorKind::InvalidArgument);
    for error in [error, twice, nan] {
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("secret"), "{text}");
        }
    }
    Ok(())
}

pub(crate) async fn lifted_limits_are_the_backends_own(s: Store) -> Result<()> {
    let free = s.with_limits(Limits::NONE);
    // What the portable limits allow works as ever, and what they forbid is taken or refused, not lost.
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
    panic!("after five seconds an eventual read does not see the write");
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
        // Polled once, then dropped at the latest after a moment.
        let wait = std::time::Duration::from_micros(20 * (i as u64 % 7));
        let _ = tokio::time::timeout(wait, tx.exec()).await;
    }
    // Whatever was under way has ended when a later write of the same keys has.
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
    panic!("one half of an atomic write is there, and the other is not");
}
